import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { resources } from "@isopod/api";
import { Installation } from "../harness/installation.ts";
import type { Outcome } from "../harness/program.ts";

describe("isopod run", { concurrency: 3 }, () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  /** `isopod run FLAGS busybox -- COMMAND`. */
  const run = async (flags: string, ...command: readonly string[]): Promise<Outcome> =>
    await e2e.isopod(["run", ...flags.split(" "), e2e.image, "--", ...command]);

  test("prints the output, keeps both streams apart, and ends with the container's exit code", async () => {
    const script = "echo out; echo err >&2; echo more; exit 7";
    const outcome = await run("--rm --name streams --cpu 0.1 --memory 128Mi", "sh", "-c", script);
    assert.deepEqual(outcome, { exitCode: 7, stdout: "out\nmore\n", stderr: "err\n" });
    // --rm: nothing of it remains to be listed.
    assert.doesNotMatch((await e2e.isopod(["ps", "--all"])).stdout, /streams/);
  });

  test("hands on variables, user and working directory", async () => {
    const script = 'echo "$COLOR $(pwd) $(id -u):$(id -g)"';
    const { exitCode, stdout } = await run("--rm -e COLOR=green -w /tmp -u 1000:1000", "sh", "-c", script);
    assert.equal(stdout, "green /tmp 1000:1000\n");
    assert.equal(exitCode, 0);
  });

  test("connects standard input", async () => {
    const args = ["run", "--rm", "-i", e2e.image, "--", "tr", "a-z", "A-Z"];
    const { exitCode, stdout } = await e2e.isopod(args, { input: "shout\n" });
    assert.equal(stdout, "SHOUT\n");
    assert.equal(exitCode, 0);
  });

  test("tells where the start time went", async () => {
    const { stderr } = await run("--rm --timing", "true");
    for (const stage of ["image", "network", "disk", "boot", "container", "total"]) {
      assert.match(stderr, new RegExp(`^${stage} +\\d`, "m"));
    }
  });

  test("a command that is not there ends with 127, one that cannot be executed with 126", async () => {
    const missing = await run("--rm", "no-such-command");
    assert.equal(missing.exitCode, 127);
    assert.match(missing.stderr, /no-such-command/);
    const file = await run("--rm", "/etc/passwd");
    assert.equal(file.exitCode, 126);
    assert.match(file.stderr, /\/etc\/passwd/);
  });

  test("a name that is taken is refused, and the one who has it stays", async () => {
    const flags = "-d --name taken --cpu 0.1 --memory 128Mi";
    assert.equal((await run(flags, "sleep", "600")).stdout, "taken\n");
    const second = await run(flags, "sleep", "600");
    assert.equal(second.exitCode, 125);
    assert.match(second.stderr, /pods "taken" already exists/);
    const pod = await e2e.client.get(resources.pods, "default", "taken");
    assert.equal(pod.metadata.deletionTimestamp, undefined);
    assert.equal((await e2e.isopod(["rm", "--force", "taken"])).exitCode, 0);
  });

  test("a container beyond its memory limit is killed and says so", async () => {
    // tail keeps the last line, which never ends.
    const { exitCode, stderr } = await run("--name greedy --cpu 1 --memory 32Mi", "tail", "/dev/zero");
    assert.equal(exitCode, 137);
    assert.match(stderr, /OOMKilled/);
    const pod = await e2e.client.get(resources.pods, "default", "greedy");
    assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.reason, "OOMKilled");
    assert.equal(pod.status?.phase, "Failed");
  });

  test("a size that is not sold is rounded up, with a warning and the size that is billed", async () => {
    const { exitCode, stderr } = await run("--name rounded --cpu 0.15 --memory 200Mi", "true");
    assert.equal(exitCode, 0);
    assert.match(stderr, /Warning: .*rounded up from 0\.15 vCPU, 200 MiB to 0\.25 vCPU, 256 MiB/);
    const pod = await e2e.client.get(resources.pods, "default", "rounded");
    assert.equal(pod.metadata.annotations?.["isopod.dev/size-cpu"], "250m");
    assert.equal(pod.metadata.annotations?.["isopod.dev/size-memory"], "256Mi");
  });
});
