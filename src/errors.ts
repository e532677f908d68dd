// The errors of the package, for the modules of src/.

export * from "../bindings/errors.js";
