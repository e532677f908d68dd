// ESLint for everything that is TypeScript or JavaScript. What is in assembly/ is AssemblyScript, whose types ESLint's
// parser does not know; asc and prettier check it.

import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

/** Layers point down: src -> bindings -> assembly. Nothing imports AssemblyScript. */
const restricted = (...patterns) => [
  "error",
  { patterns: [{ regex: "/assembly/", message: "AssemblyScript gives wasm, no modules." }, ...patterns] },
];
const onlyNode = { regex: "^node:", message: "This runs in browsers, too." };
const above = { group: ["**/src/**"], message: "bindings/ is below src/." };

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
    "bindings/wasm-graph.ts", // generated
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
        { patterns: [{ regex: "/assembly/", message: "Only wasm comes from there." }] },
      ],
    },
  },

  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["*.config.ts"] }, // they are in no tsconfig
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // a leading underscore says that a parameter is there for the signature's sake
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      // type and interface have uses of their own: the styles that these rules enforce are not the project's
      "@typescript-eslint/consistent-type-definitions": "off",
      // indices are checked where they come in; `!` is how the code says so under noUncheckedIndexedAccess, and saying it
      // by `as number` is no better
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // it asks for parentheses that prettier takes away
      "@typescript-eslint/no-confusing-non-null-assertion": "off",
      // a function that does nothing is how a hook, or a listener, says that there is nothing to do
      "@typescript-eslint/no-empty-function": ["error", { allow: ["arrowFunctions", "methods", "overrideMethods"] }],
      // for numbers and strings, `||` is meant: it takes 0 and "" for nothing, too
      "@typescript-eslint/prefer-nullish-coalescing": ["error", { ignorePrimitives: true }],
      // loops over typed arrays want the index, and kernels' tests spell their loops out
      "@typescript-eslint/prefer-for-of": "off",
    },
  },

  // what runs everywhere uses nothing that only Node or only a page has
  {
    files: ["bindings/**/*.ts", "src/**/*.ts"],
    ignores: ["src/cli.ts", "src/cli/**"],
    rules: {
      "no-restricted-imports": restricted(onlyNode),
      "no-restricted-globals": [
        "error",
        ...["atob", "btoa", "Buffer", "crypto", "fetch", "performance", "process", "TextDecoder", "TextEncoder"].map(
          (name) => ({ name, message: "An audio worklet does not have it." }),
        ),
      ],
    },
  },

  { files: ["bindings/**/*.ts"], rules: { "no-restricted-imports": restricted(onlyNode, above) } },

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
