// The package in a module worker.
import * as core from "/dist/index.js";
import * as coursera from "/dist/coursera.js";
import { runChecks } from "./checks.js";

self.onmessage = ({ data: { variant, cases } }) => self.postMessage(runChecks({ core, coursera }, variant, cases));
