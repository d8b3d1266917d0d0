import assert from "node:assert/strict";

/**
 * What `look` prints, which ends with a guest's `date +%s`. Fails unless that clock was right, to a second, at a moment
 * of the look; how long the look takes says nothing about the clock.
 */
export async function assertClockIsRight(who: string, look: () => Promise<string>): Promise<string> {
  const hostSeconds = (): number => Math.floor(Date.now() / 1000);
  const earliest = hostSeconds() - 1;
  const text = await look();
  const latest = hostSeconds() + 1;
  const seconds = Number(text.trimEnd().split("\n").at(-1));
  assert.ok(seconds >= earliest && seconds <= latest, `${who}'s clock: ${seconds}, not ${earliest} to ${latest}`);
  return text;
}
