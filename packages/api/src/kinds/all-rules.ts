// What is filled in for each kind, and what may be wrong with it. Loaded by `rules.ts`.
export { defaultEvent, defaultNamespace, defaultNode, defaultSecret } from "../defaulting/core.ts";
export { defaultSnapshot, defaultVpc } from "../defaulting/isopod.ts";
export { defaultPod } from "../defaulting/pod.ts";
export { validateConfigMap, validateSecret } from "../validation/config.ts";
export { validateEvent, validateLease, validateNode, validateServiceAccount } from "../validation/core.ts";
export {
  validateAddressClaim,
  validateNetworkInterface,
  validatePriceList,
  validateUsageSegment,
  validateVpc,
} from "../validation/isopod.ts";
export { validatePod } from "../validation/pod.ts";
export { validateSnapshot } from "../validation/snapshot.ts";
