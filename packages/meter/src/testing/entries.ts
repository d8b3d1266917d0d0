import type { LedgerEntry } from "../ledger/contract.ts";

export function entry(over: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    segment: "uid-0",
    namespace: "default",
    podName: "p",
    podUID: "uid",
    nodeName: "n1",
    cpuMilli: 250,
    memoryMiB: 512,
    state: "Running",
    startMicros: 1_700_000_000_000_000n,
    endMicros: 1_700_000_010_000_000n,
    endCause: "Completed",
    labels: { app: "web" },
    ...over,
  };
}
