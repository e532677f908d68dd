// The package in a page: its two modules and nothing else.
import * as core from "/dist/index.js";
import * as coursera from "/dist/coursera.js";
import { runChecks } from "./checks.js";
import { cases, show, variant } from "./report.js";

show(() => runChecks({ core, coursera }, variant, cases));
