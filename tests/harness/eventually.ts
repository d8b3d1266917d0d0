import { setTimeout as delay } from "node:timers/promises";

/** No wait of an end-to-end test is longer: an emulated VM on a busy host needs seconds, not minutes. */
export const patienceMs = 90_000;

/** Looks until `look` gives a truthy value; fails after {@link patienceMs} with what was awaited and what was seen. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  describe: () => unknown = () => undefined,
): Promise<Exclude<T, undefined | false | null>> {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false && found !== null) {
      return found as Exclude<T, undefined | false | null>;
    }
    if (performance.now() > giveUpAt) {
      const seen = describe();
      const told = seen === undefined ? "" : `; seen last: ${JSON.stringify(seen)}`;
      throw new Error(`waited ${patienceMs / 1000} s in vain until ${what}${told}`);
    }
    await delay(50);
  }
}
