import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { frameTypes, maxFramePayloadBytes } from "./contract.ts";
import { encodeFrame, FrameDecoder, stdinFrames } from "./frame.ts";

const frames = fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 400 })), {
  maxLength: 8,
});

test("frames survive every way of cutting the stream", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (sent, cuts) => {
      const wire = Buffer.concat(sent.map(([type, payload]) => encodeFrame(type, payload)));
      const decoder = new FrameDecoder();
      const seen: [number, Uint8Array][] = [];
      let at = 0;
      for (let turn = 0; at < wire.length; turn++) {
        const next = at + (cuts[turn % cuts.length] ?? 1);
        for (const frame of decoder.push(wire.subarray(at, next))) {
          seen.push([frame.type, Uint8Array.from(frame.payload)]);
        }
        at = next;
      }
      assert.deepEqual(seen, sent);
      assert.ok(decoder.isAtBoundary);
    }),
  );
});

test("a frame longer than the bound is refused on both sides", () => {
  assert.throws(() => encodeFrame(0, Buffer.alloc(maxFramePayloadBytes + 1)), RangeError);
  const header = Buffer.from([frameTypes.stdout, 0, 1, 0, 1]);
  assert.throws(() => [...new FrameDecoder().push(header)], { code: "BadAnswer" });
});

test("stdin of any length becomes frames within the bound", () => {
  const data = Buffer.alloc(2 * maxFramePayloadBytes + 1, 1);
  const decoder = new FrameDecoder();
  const payloads = [...stdinFrames(data)].flatMap((wire) => [...decoder.push(wire)].map((frame) => frame.payload));
  assert.deepEqual(
    payloads.map((payload) => payload.length),
    [maxFramePayloadBytes, maxFramePayloadBytes, 1],
  );
  assert.ok(Buffer.concat(payloads).equals(data));
});
