// The package in a module worker. An error in here goes to the worker's onerror.
import { conform, modules } from "./modules.js";

self.onmessage = ({ data: { variant, course } }) => self.postMessage(conform(modules, variant, course));
