import assert from "node:assert/strict";
import { test } from "node:test";
import { renderTopics, replaceResults } from "./markdown.ts";
import { Measurements, reasonOf } from "./measurements.ts";
import { planRun } from "./plan.ts";

const never = new AbortController().signal;
const fails = async (): Promise<void> => {
  throw new Error("no such | thing\nat all");
};

test("a failing part is written down, and given up after three times for that contender alone", async () => {
  const measurements = new Measurements("docker");
  let tried = 0;
  const action = async (): Promise<void> => {
    tried++;
    await fails();
  };
  for (let round = 0; round < 10; round++) await measurements.attempt(["start"], "isopod", never, action);
  assert.equal(tried, 3);
  await measurements.attempt(["start"], "docker", never, async () =>
    measurements.add("start", "start", "docker", "ms", [1]),
  );
  assert.deepEqual(
    measurements.series.map((one) => one.what),
    ["docker start"],
  );
  assert.deepEqual(measurements.failures, [{ what: "isopod, start", reason: "3 ×: no such | thing at all" }]);
});

test("an interruption ends the run and is no failure of what it hit", async () => {
  const measurements = new Measurements("docker");
  const interruption = new AbortController();
  const action = async (): Promise<void> => {
    interruption.abort(new Error("interrupted"));
    await fails();
  };
  await assert.rejects(measurements.attempt(["start"], "isopod", interruption.signal, action), /interrupted/);
  await assert.rejects(measurements.attempt(["start"], "docker", interruption.signal, fails), /interrupted/);
  assert.deepEqual(measurements.failures, []);
});

test("each contender is compared with the peer on the same thing, and the peer with nobody", () => {
  const measurements = new Measurements("docker");
  measurements.add("start", "start", "isopod", "ms", [50]);
  measurements.add("start", "start", "docker", "ms", [100]);
  measurements.add("start", "only ours", "isopod", "ms", [1]);
  assert.deepEqual(
    measurements.comparisons.map(({ ours, peer }) => [ours.what, peer.what]),
    [["isopod start", "docker start"]],
  );
});

test("values of one thing come together over rounds", () => {
  const measurements = new Measurements("docker");
  for (const value of [1, 2, 3]) measurements.add("start", "start", "isopod", "ms", [value]);
  assert.deepEqual(measurements.series[0]?.values, [1, 2, 3]);
});

test("a table has every contender for each thing, ratios, notes, and what failed with its reason", async () => {
  const measurements = new Measurements("docker");
  measurements.add("disk", "read", "docker", "MiB/s", [200], { isRate: true });
  measurements.add("disk", "read", "isopod", "MiB/s", [100], { isRate: true, note: "through the page cache" });
  await measurements.attempt(["disk"], "gVisor", never, fails);
  assert.equal(
    renderTopics(measurements, ["isopod", "docker", "gVisor", "Kata"]),
    [
      "### Disk",
      "",
      "| what | runtime | n | median | p99 | median ÷ docker | p99 ÷ docker |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      "| read | isopod, through the page cache | 1 | 100 MiB/s | 100 MiB/s | 0.5 × | 0.5 × |",
      "| read | docker | 1 | 200 MiB/s | 200 MiB/s |  |  |",
      "| read | gVisor | 0 | failed | failed |  |  |",
      "| read | Kata | 0 | – | – |  |  |",
      "| disk | gVisor | 0 | failed 1 ×: no such \\| thing at all |  |  |  |",
    ].join("\n"),
  );
});

test("results replace the results of before and nothing else", () => {
  const page = (results: string): string =>
    `# Page\n\nBefore.\n\n<!-- written by npm run bench -- runtimes -->${results}<!-- end of what npm run bench -- runtimes wrote -->\n\nAfter.\n`;
  const once = replaceResults(page("\n\n"), "runtimes", "first");
  assert.equal(once, page("\n\nfirst\n\n"));
  assert.equal(replaceResults(once, "runtimes", "second\n"), page("\n\nsecond\n\n"));
  assert.throws(() => replaceResults("# Page\n", "runtimes", "lost"), /no place/);
});

test("the contenders take turns at being the first", () => {
  const contenders = ["a", "b", "c"].map((name) => ({ name }) as Parameters<typeof planRun>[0][number]);
  const plan = planRun(contenders, 3, never);
  const orders = [0, 1, 2, 3].map((round) =>
    plan
      .inTurn(round)
      .map((one) => one.name)
      .join(""),
  );
  assert.deepEqual(orders, ["abc", "bca", "cab", "abc"]);
});

test("the reason of a failed program is its own last words", () => {
  const error = Object.assign(new Error("Command failed: docker …"), {
    stderr: "warning\nwriting the image:\n\nno space left\n",
  });
  assert.equal(reasonOf(error), "writing the image: no space left");
  assert.equal(reasonOf("plain"), "plain");
});
