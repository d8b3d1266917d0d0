import { createRequire } from "node:module";
import { onDemand } from "./on-demand.ts";

// What an API server does with objects and their clients do not; each part is loaded with the first call of one of its
// functions, which are described where they are.

const require = createRequire(import.meta.url);

const conform = onDemand(() => require("./codec/conform-to.ts") as typeof import("./codec/conform-to.ts"));
const bodies = onDemand(() => require("./codec/decode-body.ts") as typeof import("./codec/decode-body.ts"));
const patches = onDemand(() => require("./patch/apply-patch.ts") as typeof import("./patch/apply-patch.ts"));
const openApi = onDemand(() => require("./openapi/open-api-v3.ts") as typeof import("./openapi/open-api-v3.ts"));
const validation = onDemand(() => require("./validation/index.ts") as typeof import("./validation/index.ts"));
const pods = onDemand(() => require("./validation/pod.ts") as typeof import("./validation/pod.ts"));

type Conform = ReturnType<typeof conform>;
type Bodies = ReturnType<typeof bodies>;
type Patches = ReturnType<typeof patches>;
type OpenApi = ReturnType<typeof openApi>;
type Validation = ReturnType<typeof validation>;
type Pods = ReturnType<typeof pods>;

export const checkFields: Conform["checkFields"] = (...args) => conform().checkFields(...args);
export const conformTo: Conform["conformTo"] = (...args) => conform().conformTo(...args);
export const pruneUnknown: Conform["pruneUnknown"] = (...args) => conform().pruneUnknown(...args);
export const strictDecodingError: Conform["strictDecodingError"] = (...args) => conform().strictDecodingError(...args);
export const decodeBody: Bodies["decodeBody"] = (...args) => bodies().decodeBody(...args);
export const acceptedPatchMediaTypes: Patches["acceptedPatchMediaTypes"] = (...args) =>
  patches().acceptedPatchMediaTypes(...args);
export const applyPatch: Patches["applyPatch"] = (...args) => patches().applyPatch(...args);
export const checkPatchMediaType: Patches["checkPatchMediaType"] = (...args) => patches().checkPatchMediaType(...args);
export const openApiV3Document: OpenApi["openApiV3Document"] = (...args) => openApi().openApiV3Document(...args);
export const openApiV3Index: OpenApi["openApiV3Index"] = (...args) => openApi().openApiV3Index(...args);
export const validate: Validation["validate"] = (...args) => validation().validate(...args);
export const validatePodSpec: Pods["validatePodSpec"] = (...args) => pods().validatePodSpec(...args);
