import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@isopod/api";
import { IsopodError } from "@isopod/base";
import { formatError } from "./cli-error.ts";
import { parseDurationSeconds } from "./commands/logs.ts";
import { formatBill, formatPrice } from "./commands/money.ts";
import { formatAmount, formatTable } from "./output.ts";
import { obstacle } from "./pod-wait.ts";
import { startStages } from "./start-timing.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default" },
  spec: { containers: [{ name: "main", image: "web" }] },
};

test("a table's columns line up and no line has trailing space", () => {
  const text = formatTable(
    ["NAME", "STATUS"],
    [
      ["a-long-name", "Running"],
      ["b", ""],
    ],
  );
  assert.equal(text, "NAME         STATUS\na-long-name  Running\nb");
});

test("amounts keep every millionth", () => {
  assert.equal(formatAmount(0n), "0.000000");
  assert.equal(formatAmount(1_000_001n), "1.000001");
});

test("a price tells what the size costs running and paused", () => {
  const price = {
    requested: { cpuMilli: 250, memoryMiB: 512 },
    size: { cpuMilli: 250, memoryMiB: 512 },
    isRounded: false,
    currency: "USD",
    secondMicros: "4",
    hourMicros: "11700",
    monthMicros: "8541000",
    paused: { secondMicros: "1", hourMicros: "1800", monthMicros: "1314000" },
  };
  assert.equal(
    formatPrice(price),
    [
      "0.25 VCPU, 512 MIB  RUNNING   PAUSED",
      "second              0.000004  0.000001  USD",
      "hour                0.011700  0.001800  USD",
      "month of 730 h      8.541000  1.314000  USD",
    ].join("\n"),
  );
});

test("a bill tells for each line in what state the instance was, and what is not over yet", () => {
  const line = { namespace: "shop", pod: "web", cpuMilli: 250, memoryMiB: 512, start: "2026-11-22T12:00:00.400Z" };
  const bill = {
    currency: "USD",
    totalSeconds: "600",
    totalMicros: "331",
    lines: [
      { ...line, state: "Running", isOpen: false, endCause: "Paused", seconds: "11", priceMicros: "36" },
      { ...line, state: "Paused", isOpen: true, seconds: "589", priceMicros: "295" },
    ],
  };
  assert.equal(
    formatBill(bill, false),
    [
      "INSTANCE  VCPU  MEMORY  START                STATE    END     SECONDS  USD",
      "web       0.25  512Mi   2026-11-22 12:00:00  Running  Paused  11       0.000036",
      "web       0.25  512Mi   2026-11-22 12:00:00  Paused   open    589      0.000295",
      "total 600 s, 0.000331 USD",
    ].join("\n"),
  );
  assert.match(formatBill(bill, true), /^NAMESPACE  INSTANCE .*\nshop /);
});

test("an error shows stage, causes and remedy", () => {
  const error = new IsopodError("cannot pull web", {
    code: "NotFound",
    stage: "pull",
    remedy: "Check the name.",
    cause: new Error("the registry has no such tag"),
  });
  assert.equal(formatError(error), "isopod: pull: cannot pull web: the registry has no such tag\n  Check the name.");
});

test("durations are read as kubectl reads them", () => {
  assert.equal(parseDurationSeconds("90s"), 90);
  assert.equal(parseDurationSeconds("1h30m"), 5400);
  assert.throws(() => parseDurationSeconds("soon"), /--since soon/);
  assert.throws(() => parseDurationSeconds(""), /--since/);
});

test("boot begins when the last of image, network and disk is there", () => {
  const at = {
    seen: 1_000_000,
    image: 1_040_000,
    network: 1_090_000,
    disk: 1_010_000,
    booted: 1_590_000,
    started: 1_690_000,
  };
  const stages = startStages(
    { ...pod, metadata: { ...pod.metadata, annotations: { "isopod.dev/start-stages": JSON.stringify(at) } } },
    { sentMicros: 990_000, acceptedMicros: 995_000, firstOutputMicros: 1_700_000 },
  );
  assert.deepEqual(Object.fromEntries(stages.map(({ stage, ms }) => [stage, ms])), {
    API: 5,
    schedule: 5,
    image: 40,
    network: 90,
    disk: 10,
    boot: 500,
    container: 100,
    "first output": 10,
    total: 710,
  });
});

test("waiting in front of a pod that cannot start ends with Docker's 125", () => {
  const unscheduled = obstacle({
    ...pod,
    status: {
      conditions: [
        { type: "PodScheduled", status: "False", message: "0/1 nodes are available: 1 Insufficient memory." },
      ],
    },
  });
  assert.equal(unscheduled?.exitStatus, 125);
  assert.equal(unscheduled?.stage, "schedule");
  const pulling = obstacle({
    ...pod,
    status: {
      containerStatuses: [
        {
          name: "main",
          image: "web",
          imageID: "",
          ready: false,
          restartCount: 0,
          state: { waiting: { reason: "ErrImagePull", message: "no such image" } },
        },
      ],
    },
  });
  assert.equal(pulling?.stage, "pull");
  assert.match(pulling?.message ?? "", /no such image/);
  assert.equal(obstacle(pod), undefined);
});
