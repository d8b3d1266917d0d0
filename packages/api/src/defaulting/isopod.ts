import type { Snapshot, VPC } from "../types/isopod.ts";

/** Private unless it says otherwise. */
export function defaultVpc(vpc: VPC): VPC {
  return { ...vpc, spec: { ...vpc.spec, nat: vpc.spec?.nat ?? false } };
}

/** Pending until its node says what became of it. */
export function defaultSnapshot(snapshot: Snapshot): Snapshot {
  return { ...snapshot, status: { ...snapshot.status, phase: snapshot.status?.phase ?? "Pending" } };
}
