import { createRequire } from "node:module";
import { onDemand } from "../on-demand.ts";

const require = createRequire(import.meta.url);

/** The defaults and the checks of every kind. */
export const rules = onDemand(() => require("./all-rules.ts") as typeof import("./all-rules.ts"));
