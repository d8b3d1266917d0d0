export { runScript } from "./run-container.ts";
