import assert from "node:assert/strict";
import { test } from "node:test";
import { isPaused, isPauseWanted, type Pod, pausedCondition, resources } from "@isopod/api";
import { startTestApi, waitUntil } from "@isopod/client/testing";
import { Cli } from "../testing/cli.ts";
import { actAsNode, addPod, runningStatus } from "../testing/node-agent.ts";

/** Pauses and resumes what asks for it. */
function obey(pod: Pod): object | undefined {
  if (isPauseWanted(pod) === isPaused(pod)) return undefined;
  return { conditions: [{ type: pausedCondition, status: isPauseWanted(pod) ? "True" : "False" }] };
}

test("pause waits until the instance stands still, resume until it goes on, and both may be said twice", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "a");
  await addPod(api, "b");
  await using _node = actAsNode(api, { pod: obey });
  const isPausedNow = async (name: string): Promise<boolean> =>
    isPaused(await api.client.get(resources.pods, "default", name));

  const paused = await cli.run("pause", "a", "b");
  assert.deepEqual([paused.code, paused.stdout.split("\n").toSorted()], [0, ["", "a", "b"]]);
  assert.deepEqual([await isPausedNow("a"), await isPausedNow("b")], [true, true]);
  assert.match((await cli.run("ps")).stdout, /^a .* Paused /m);

  const again = await cli.run("pause", "a", "--output", "json");
  assert.deepEqual([again.code, JSON.parse(again.stdout)], [0, { paused: ["a"] }]);
  assert.match(again.stderr, /a is paused already/);

  const resumed = await cli.run("resume", "a");
  assert.deepEqual([resumed.code, resumed.stdout], [0, "a\n"]);
  assert.deepEqual([await isPausedNow("a"), await isPausedNow("b")], [false, true]);
  assert.match((await cli.run("resume", "a")).stderr, /a is not paused/);
});

test("an instance in the wrong state is refused with its state, and keeps no other from being paused", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "good");
  await addPod(api, "early", { phase: "Pending" });
  await addPod(api, "late", { phase: "Failed", reason: "DeadlineExceeded" });
  await addPod(api, "leaving");
  await api.client.delete(resources.pods, "default", "leaving");
  await using _node = actAsNode(api, { pod: obey });

  const { code, stdout, stderr } = await cli.run("pause", "early", "late", "leaving", "absent", "good");
  assert.deepEqual([code, stdout], [1, "good\n"]);
  assert.match(stderr, /the instance early does not run yet \(Pending\) and cannot be paused\n {2}Wait for it;/);
  assert.match(stderr, /the instance late is over \(DeadlineExceeded\) and cannot be paused/);
  assert.match(stderr, /the instance leaving is being removed and cannot be paused/);
  assert.match(stderr, /"absent" not found/);
  assert.match((await cli.run("resume", "late")).stderr, /late is over \(DeadlineExceeded\) and cannot be resumed/);
  assert.equal(isPauseWanted(await api.client.get(resources.pods, "default", "late")), false);
});

test("a node that cannot pause says why, and what was wrong before is not taken for the answer", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const failed = (message: string) =>
    ({ type: pausedCondition, status: "False", reason: "PauseFailed", message }) as const;
  await addPod(api, "web", { ...runningStatus, conditions: [failed("an older story")] });
  let isWilling = false;
  await using _node = actAsNode(api, {
    pod: (pod) => {
      if (isWilling) return obey(pod);
      const isTold = pod.status?.conditions?.some(({ message }) => message === "the machine does not answer");
      return isPauseWanted(pod) && isTold !== true
        ? { conditions: [failed("the machine does not answer")] }
        : undefined;
    },
  });
  const { code, stdout, stderr } = await cli.run("pause", "web");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(
    stderr,
    /web could not be paused: the machine does not answer\n {2}`isopod resume web` takes the request back/,
  );
  assert.equal((await cli.run("resume", "web")).code, 0);
  isWilling = true;
  assert.deepEqual((await cli.run("pause", "web")).code, 0);
});

test("an instance that ends while it is waited for is told as over", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "web");
  await using _node = actAsNode(api, {
    pod: (pod) => (isPauseWanted(pod) && pod.status?.phase === "Running" ? { phase: "Succeeded" } : undefined),
  });
  const { code, stderr } = await cli.run("pause", "web");
  assert.equal(code, 1);
  assert.match(stderr, /web is over \(Succeeded\) and cannot be paused/);
});

test("whoever does not wait is told that the request stands", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "web");
  const { child, ended } = cli.start("pause", "web");
  await waitUntil("it is asked for", async () => isPauseWanted(await api.client.get(resources.pods, "default", "web")));
  child.kill("SIGINT");
  const { code, stderr } = await ended;
  assert.equal(code, 130);
  assert.match(stderr, /web is still to be paused\n {2}`isopod resume web` takes it back/);
});
