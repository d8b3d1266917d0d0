import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { QuantityError } from "./quantity.ts";
import {
  catalogue,
  describeSize,
  formatSizeWord,
  largestSize,
  parseSizeWord,
  roundUpSize,
  sizePod,
  vcpusFor,
} from "./sizing.ts";
import type { Container } from "./types/container.ts";

function container(limits: Record<string, string>, more: Partial<Container> = {}): Container {
  return { name: "main", image: "busybox", resources: { limits }, ...more };
}

function memoriesOf(cpuMilli: number): readonly number[] {
  return catalogue.filter((size) => size.cpuMilli === cpuMilli).map((size) => size.memoryMiB / 1024);
}

test("the catalogue has the sizes of the price list and no others", () => {
  assert.deepEqual(memoriesOf(100), [0.125, 0.25, 0.5]);
  assert.deepEqual(memoriesOf(250), [0.25, 0.5, 1, 2]);
  assert.deepEqual(memoriesOf(500), [0.5, 1, 2, 3, 4]);
  assert.deepEqual(memoriesOf(1000), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(memoriesOf(2000), [2, 3, 4, 5, 6, 7, 8, 12, 16]);
  assert.deepEqual(memoriesOf(4000), [4, 5, 6, 7, 8, 12, 16, 20, 24, 28, 32]);
  assert.deepEqual(memoriesOf(8000), [8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64]);
  assert.equal(memoriesOf(16_000).at(0), 16);
  assert.equal(memoriesOf(16_000).at(-1), 128);
  assert.equal(memoriesOf(16_000).length, 29);
});

const table: readonly (readonly [Record<string, string>, string, boolean])[] = [
  [{}, "0.25 vCPU, 512 MiB", false],
  [{ cpu: "100m", memory: "128Mi" }, "0.1 vCPU, 128 MiB", false],
  [{ cpu: "100m", memory: "129Mi" }, "0.1 vCPU, 256 MiB", true],
  [{ cpu: "10m", memory: "1Mi" }, "0.1 vCPU, 128 MiB", true],
  [{ cpu: "100m", memory: "600Mi" }, "0.25 vCPU, 1 GiB", true],
  [{ cpu: "250m" }, "0.25 vCPU, 512 MiB", false],
  [{ memory: "3Gi" }, "0.5 vCPU, 3 GiB", true],
  [{ cpu: "1", memory: "512Mi" }, "1 vCPU, 1 GiB", true],
  [{ cpu: "1001m", memory: "1Gi" }, "2 vCPU, 2 GiB", true],
  [{ cpu: "2", memory: "9Gi" }, "2 vCPU, 12 GiB", true],
  [{ cpu: "16", memory: "128Gi" }, "16 vCPU, 128 GiB", false],
];

test("a pod gets the smallest size that holds its limits, and is told when that is more", () => {
  for (const [limits, expected, isRounded] of table) {
    const sizing = sizePod({ containers: [container(limits)] });
    assert.deepEqual([describeSize(sizing.size), sizing.isRounded, sizing.causes.length], [expected, isRounded, 0]);
  }
  const { message } = sizePod({ containers: [container({ cpu: "300m", memory: "700Mi" })] });
  assert.equal(message, "instance size rounded up from 0.3 vCPU, 700 MiB to 0.5 vCPU, 1 GiB, which is what is billed");
});

test("requests count where there are no limits", () => {
  const sizing = sizePod({
    containers: [{ name: "a", resources: { requests: { cpu: "1", memory: "2Gi" }, limits: { cpu: "2" } } }],
  });
  assert.deepEqual(sizing.size, { cpuMilli: 2000, memoryMiB: 2048 });
});

test("containers add up, init containers only raise the maximum, sidecars do both", () => {
  const app = [container({ cpu: "250m", memory: "512Mi" }), container({ cpu: "250m", memory: "512Mi" })];
  assert.deepEqual(sizePod({ containers: app }).size, { cpuMilli: 500, memoryMiB: 1024 });

  const init = container({ cpu: "2", memory: "256Mi" });
  assert.deepEqual(sizePod({ initContainers: [init], containers: app }).requested, { cpuMilli: 2000, memoryMiB: 1024 });

  const sidecar = container({ cpu: "500m", memory: "512Mi" }, { restartPolicy: "Always" });
  const both = sizePod({ initContainers: [sidecar, init], containers: app });
  assert.deepEqual(both.requested, { cpuMilli: 2500, memoryMiB: 1536 });
  const initFirst = sizePod({ initContainers: [init, sidecar], containers: app });
  assert.deepEqual(initFirst.requested, { cpuMilli: 2000, memoryMiB: 1536 });
});

test("a pod beyond the largest size is refused, and the largest size is named", () => {
  const { causes } = sizePod({ containers: [container({ cpu: "17", memory: "1Gi" })] });
  assert.equal(causes[0]?.field, "spec.containers");
  assert.match(causes[0]?.message ?? "", /asks for 17 vCPU, 1 GiB .* largest instance size is 16 vCPU, 128 GiB/);
  assert.equal(sizePod({ containers: [container({ memory: "129Gi" })] }).causes.length, 1);
});

test("a limit that is no quantity is named by its field", () => {
  const { causes } = sizePod({ containers: [container({ cpu: "many" }), container({ memory: "-1Gi" })] });
  assert.deepEqual(
    causes.map((cause) => cause.field),
    ["spec.containers[0].resources.limits.cpu", "spec.containers[1].resources.limits.memory"],
  );
});

test("the size given holds the request, and no cheaper row does", () => {
  const requests = fc.record({
    cpuMilli: fc.integer({ min: 1, max: 16_000 }),
    memoryMiB: fc.integer({ min: 1, max: 131_072 }),
  });
  fc.assert(
    fc.property(requests, (requested) => {
      const size = roundUpSize(requested);
      assert.ok(size !== undefined && size.cpuMilli >= requested.cpuMilli && size.memoryMiB >= requested.memoryMiB);
      const smaller = catalogue.filter(
        (one) => one.cpuMilli <= size.cpuMilli && one.memoryMiB <= size.memoryMiB && one !== size,
      );
      assert.ok(smaller.every((one) => one.cpuMilli < requested.cpuMilli || one.memoryMiB < requested.memoryMiB));
    }),
  );
  assert.equal(roundUpSize({ ...largestSize, cpuMilli: largestSize.cpuMilli + 1 }), undefined);
});

test("a fraction of a vCPU is a quota on one", () => {
  assert.deepEqual(
    [100, 250, 1000, 2000, 16_000].map((cpuMilli) => vcpusFor({ cpuMilli, memoryMiB: 1024 })),
    [1, 1, 1, 2, 16],
  );
});

test("every size has a word that reads back as it, and other ways to write it do too", () => {
  for (const size of catalogue) assert.deepEqual(parseSizeWord(formatSizeWord(size)), size);
  assert.equal(formatSizeWord({ cpuMilli: 250, memoryMiB: 512 }), "0.25x512Mi");
  assert.equal(formatSizeWord({ cpuMilli: 1000, memoryMiB: 2048 }), "1x2Gi");
  assert.deepEqual(parseSizeWord("250mx0.5Gi"), { cpuMilli: 250, memoryMiB: 512 });
  for (const word of ["", "x", "1", "1x", "x1Gi", "1x1Gix1", "axb"]) {
    assert.throws(() => parseSizeWord(word), QuantityError, word);
  }
});
