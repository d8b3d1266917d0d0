import type { VPC } from "../types/isopod.ts";

/** Private unless it says otherwise. */
export function defaultVpc(vpc: VPC): VPC {
  return { ...vpc, spec: { ...vpc.spec, nat: vpc.spec?.nat ?? false } };
}
