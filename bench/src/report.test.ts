import assert from "node:assert/strict";
import { test } from "node:test";
import { percentile, ratioOf, rowOf } from "./report.ts";

const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => last - index);

test("p99 of a hundred values is the 99th, and of fewer the largest", () => {
  assert.equal(percentile(upTo(100), 0.99), 99);
  assert.equal(percentile(upTo(10), 0.99), 10);
  assert.equal(percentile(upTo(10), 0.5), 5);
});

test("p99 of a time is the slow end, and of a rate the low end", () => {
  const values = upTo(100);
  assert.equal(rowOf({ what: "time", unit: "ms", values }).p99, 99);
  assert.equal(rowOf({ what: "rate", unit: "MiB/s", values, isRate: true }).p99, 2);
  assert.equal(rowOf({ what: "rate", unit: "MiB/s", values: [7, 3, 5], isRate: true }).p99, 3);
});

test("small values keep three digits after the point", () => {
  assert.equal(rowOf({ what: "ping", unit: "ms", values: [0.0454] }).median, 0.045);
  assert.equal(rowOf({ what: "start", unit: "ms", values: [1001.4567] }).median, 1001.46);
});

test("a ratio compares ours with the peer's, tail with tail", () => {
  const ours = { what: "ours", unit: "MiB/s", values: [50, 60, 70], isRate: true };
  const peer = { what: "peer", unit: "MiB/s", values: [100, 120, 140], isRate: true };
  assert.deepEqual(ratioOf({ ours, peer }), { what: "ours", peer: "peer", median: 0.5, p99: 0.5 });
});
