import { formatError } from "./cli-error.ts";

/**
 * Does the same for every name at once: what fails for one is told and keeps none of the others from it. Returns the
 * names for which it was done, in the order given, and whether that is all of them.
 */
export async function eachName(
  names: readonly string[],
  action: (name: string) => Promise<void>,
): Promise<{ readonly done: readonly string[]; readonly isAll: boolean }> {
  const unique = [...new Set(names)];
  const outcomes = await Promise.allSettled(unique.map(action));
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") process.stderr.write(`${formatError(outcome.reason)}\n`);
  }
  const done = unique.filter((_name, index) => outcomes[index]?.status === "fulfilled");
  return { done, isAll: done.length === unique.length };
}
