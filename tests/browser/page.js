// The package in a page: its modules and nothing else.
import { conform, modules } from "./modules.js";
import { course, show, variant } from "./report.js";

show(() => conform(modules, variant, course));
