import assert from "node:assert/strict";
import type { Installation } from "./installation.ts";
import { touchIn } from "./pods.ts";

/** Writes `line 1`, `line 2` and so on until {@link endCounting}, and then how many they were: as long as a test needs. */
export const countingScript =
  'i=0; until [ -e /enough ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done; echo "$i lines"';

export async function endCounting(installation: Installation, name: string): Promise<void> {
  await touchIn(installation, name, "/enough");
}

/** Fails unless a counter's whole output is there, each line once. */
export function assertCounted(log: string): void {
  const count = Number(/^(\d+) lines\n$/m.exec(log)?.[1]);
  assert.equal(log, `${countedLines(count)}${count} lines\n`);
}

/** The first lines of a counter. */
export function countedLines(count: number): string {
  return Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join("");
}
