import { conflict, type NetworkInterface, resources } from "@isopod/api";
import type { AdmissionHook } from "@isopod/apiserver";

/**
 * Refuses to delete a VPC that interfaces are in: a node agent that comes back could not take their instances up again.
 * `interfaces` lists those there are now.
 */
export function keepUsedVpcs(interfaces: () => Promise<readonly NetworkInterface[]>): AdmissionHook {
  return async ({ operation, definition, object }) => {
    if (operation !== "DELETE" || definition !== resources.vpcs) return object;
    const users = (await interfaces()).filter((one) => one.spec.vpc === object.metadata.name);
    const [first] = users;
    if (first === undefined) return object;
    const others = users.length > 1 ? ` and ${users.length - 1} more` : "";
    throw conflict(
      definition,
      object.metadata.name,
      `it is in use by ${first.metadata.namespace}/${first.spec.podName}${others}; delete those pods first`,
    );
  };
}
