import { setTimeout as delay } from "node:timers/promises";

/** Looks every 10 ms until `look` gives a truthy value; fails after 30 s with what was awaited. */
export async function waitUntil<T>(
  what: string,
  look: () => T | Promise<T>,
): Promise<Exclude<T, undefined | false | null>> {
  const giveUpAt = performance.now() + 30_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false && found !== null) {
      return found as Exclude<T, undefined | false | null>;
    }
    if (performance.now() > giveUpAt) throw new Error(`waited 30 s in vain until ${what}`);
    await delay(10);
  }
}
