// ESLint for TypeScript and JavaScript. assembly/ is AssemblyScript, whose types ESLint's parser does not know: asc and prettier
// check it.

import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

/** Layers point down: src -> bindings -> assembly. Nothing imports AssemblyScript. */
const restricted = (...patterns) => [
  "error",
  { patterns: [{ regex: "/assembly/", message: "assembly/ is compiled to wasm: use bindings/." }, ...patterns] },
];
const onlyNode = { regex: "^node:", message: "This code also runs in browsers." };
const above = { group: ["**/src/**"], message: "bindings/ must not import src/." };

const globals = (...names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default defineConfig(
  globalIgnores([
    "**/node_modules/",
    "**/dist/",
    "build/",
    "demo/",
    "docs/api/",
    "coverage/",
    "bindings/wasm.ts", // generated
    "bindings/wasm-*.ts", // generated
    "assembly/",
    "bench/assembly/",
  ]),
  { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },

  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "/assembly/", message: "assembly/ is compiled to wasm: use bindings/." }] },
      ],
    },
  },

  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["*.config.ts"] }, // no tsconfig includes them
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // a leading underscore marks a parameter that only the signature needs
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      // the project uses both type and interface
      "@typescript-eslint/consistent-type-definitions": "off",
      // under noUncheckedIndexedAccess, both `!` and `as number` mark an index as checked
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // it requires parentheses that prettier removes
      "@typescript-eslint/no-confusing-non-null-assertion": "off",
      // empty listeners and methods are allowed
      "@typescript-eslint/no-empty-function": ["error", { allow: ["arrowFunctions", "methods", "overrideMethods"] }],
      // for numbers and strings, `||` is meant: it also replaces 0 and ""
      "@typescript-eslint/prefer-nullish-coalescing": ["error", { ignorePrimitives: true }],
      // loops over typed arrays often need the index, and reference loops in tests are written out
      "@typescript-eslint/prefer-for-of": "off",
    },
  },

  // code for all hosts uses no globals that only Node or only pages have
  {
    files: ["bindings/**/*.ts", "src/**/*.ts"],
    ignores: ["src/cli.ts", "src/cli/**", "src/cluster/**"], // for Node alone
    rules: {
      "no-restricted-imports": restricted(onlyNode),
      "no-restricted-globals": [
        "error",
        ...["atob", "btoa", "Buffer", "crypto", "fetch", "performance", "process", "TextDecoder", "TextEncoder"].map(
          (name) => ({ name, message: "Audio worklets do not have it." }),
        ),
      ],
    },
  },

  { files: ["bindings/**/*.ts"], rules: { "no-restricted-imports": restricted(onlyNode, above) } },

  {
    files: ["examples/site/*.js"],
    languageOptions: { globals: globals("caches", "fetch", "navigator", "Request", "self") },
  },
  { files: ["docs/site.js"], languageOptions: { globals: globals("document", "fetch", "location", "Option") } },
  {
    files: ["**/*.{js,mjs}"],
    languageOptions: {
      globals: globals("console", "process", "performance", "setTimeout", "URL", "WebAssembly", "Buffer"),
    },
  },
  {
    files: ["tests/browser/**/*.js"],
    languageOptions: {
      globals: globals(
        ...["crypto", "document", "fetch", "location", "self", "URLSearchParams", "Worker"],
        ...["AudioWorkletNode", "AudioWorkletProcessor", "OfflineAudioContext", "registerProcessor"],
      ),
    },
  },
);
