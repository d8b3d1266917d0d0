import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { carriesFiller, filler, Greeting } from "./handshake.ts";

const nonce = "0123456789abcdef0123456789abcdef";
const other = "ffffffffffffffffffffffffffffffff";
const ready = (text: string): Buffer => Buffer.from(`\nISOPOD/1 READY ${text}\n`);

function pushCut(greeting: Greeting, wire: Buffer, cuts: readonly number[]): Buffer | undefined {
  for (let at = 0, turn = 0; at < wire.length; turn++) {
    const next = at + (cuts[turn % cuts.length] ?? 1);
    const behind = greeting.push(wire.subarray(at, next));
    if (behind !== undefined) return Buffer.concat([behind, wire.subarray(next)]);
    at = next;
  }
  return undefined;
}

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });

test("everything before the READY of the last nonce is thrown away, however it is cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(60), cuts, (rubbish, part, how) => {
      const greeting = new Greeting();
      greeting.next(0, nonce);
      const wire = Buffer.concat([
        rubbish,
        ready(nonce).subarray(0, part % 48),
        ready(other),
        ready(nonce),
        Buffer.from("rest"),
      ]);
      assert.equal(pushCut(greeting, wire, how)?.toString(), "rest");
    }),
  );
});

test("the READY of an older nonce is heard, but only that of the last one begins the session", () => {
  const greeting = new Greeting();
  greeting.next(0, nonce);
  greeting.next(1, other);
  assert.equal(greeting.push(ready(nonce)), undefined);
  assert.ok(greeting.isHeard);
  assert.equal(greeting.push(ready(other))?.length, 0);
});

test("a READY nobody asked for is nothing", () => {
  const greeting = new Greeting();
  greeting.next(0, nonce);
  assert.equal(greeting.push(ready(other)), undefined);
  assert.ok(!greeting.isHeard);
});

test("nonces are fresh", () => {
  const greeting = new Greeting();
  assert.notDeepEqual(greeting.next(0), greeting.next(1));
});

test("the filler is longer than any frame and comes before the line", () => {
  assert.ok(filler.length > 16_384 + 2 * 9);
  const attempt = [0, 1, 2, 3, 4, 5].find(carriesFiller) ?? -1;
  const bytes = new Greeting().next(attempt, nonce);
  assert.ok(bytes.subarray(0, filler.length).equals(filler));
  assert.equal(bytes.subarray(filler.length).toString(), `\nISOPOD/1 HELLO ${nonce}\n`);
});
