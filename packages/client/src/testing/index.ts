export { startTestApi, type TestApi } from "./test-api.ts";
export { waitUntil } from "./wait-until.ts";
