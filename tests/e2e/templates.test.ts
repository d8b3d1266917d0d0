import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { resources, startedFromAnnotation, startFromAnnotation } from "@isopod/api";
import { writeDerivedImage } from "../harness/derived-image.ts";
import { eventually } from "../harness/eventually.ts";
import { assertClockIsRight } from "../harness/guest-clock.ts";
import { Installation } from "../harness/installation.ts";
import { createPod, isOver, podUntil, readLog, shellPod } from "../harness/pods.ts";
import { mustRun } from "../harness/program.ts";

interface TemplateLine {
  readonly id: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly isLoaded: boolean;
  readonly hasZygote: boolean;
}

/** State and parent of a process; empty when there is none. */
async function processState(pid: number): Promise<readonly string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

describe("templates", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const isopod = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await e2e.isopod(args);
    assert.equal(exitCode, 0, `${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const list = async (): Promise<readonly TemplateLine[]> =>
    JSON.parse(await isopod("template", "ls", "--output", "json")) as readonly TemplateLine[];
  const startedFrom = async (name: string): Promise<string | undefined> =>
    (await e2e.client.get(resources.pods, "default", name)).metadata.annotations?.[startedFromAnnotation];
  /** Runs a script to its end and gives its output. */
  const run = async (name: string, script: string, annotations: Readonly<Record<string, string>> = {}) => {
    const pod = shellPod(e2e, script, { name });
    await createPod(e2e, { ...pod, metadata: { ...pod.metadata, annotations } });
    await podUntil(e2e, name, "is over", isOver);
    return (await readLog(e2e, name)).trim();
  };

  test("the first instance of a size boots cold and has a template made; the next ones fork it", async () => {
    assert.equal(await run("first", "echo one"), "one");
    assert.equal(await startedFrom("first"), "cold");
    await eventually("a template is there", async () => (await list()).length === 1);
    assert.equal(await run("second", "echo two"), "two");
    assert.equal(await startedFrom("second"), "template");
    assert.equal(await run("third", "echo three", { [startFromAnnotation]: "cold" }), "three");
    assert.equal(await startedFrom("third"), "cold");
  });

  test("two instances of one template share neither random stream, host name, MAC, address, boot id nor clock", async () => {
    const look =
      "head -c 16 /dev/urandom | base64; hostname; cat /sys/class/net/eth0/address; ip -4 -o addr show dev eth0 | awk '{print $4}'; " +
      "cat /proc/sys/kernel/random/boot_id; date +%s";
    const looks = await Promise.all(
      ["look-a", "look-b"].map(async (name) => {
        return (await assertClockIsRight(name, async () => await run(name, look))).split("\n");
      }),
    );
    for (const name of ["look-a", "look-b"]) assert.equal(await startedFrom(name), "template");
    const [a = [], b = []] = looks;
    assert.equal(a.length, 6, a.join("\n"));
    for (const index of [0, 1, 2, 3, 4]) assert.notEqual(a[index], b[index]);
  });

  test("instances of a size that is in use are clones of its zygote, and outlive it and the service", async () => {
    const zygotes = async (): Promise<readonly TemplateLine[]> => (await list()).filter((one) => one.hasZygote);
    await eventually("a zygote is there", async () => (await zygotes()).length === 1);
    const [template] = await zygotes();
    const zygote = join(e2e.dataDirectory, "cache", "templates", template?.id ?? "", "zygote", "machine");
    await createPod(e2e, shellPod(e2e, "echo begun; sleep 1000", { name: "cloned" }));
    await podUntil(e2e, "cloned", "runs", (pod) => pod.status?.phase === "Running");
    assert.equal(await startedFrom("cloned"), "template");
    const { metadata } = await e2e.client.get(resources.pods, "default", "cloned");
    const clonePid = await e2e.vmPid(metadata.uid ?? "");
    const { process: zygoteProcess } = JSON.parse(await readFile(join(zygote, "machine.json"), "utf8"));
    const [, parent] = await processState(clonePid);
    assert.equal(parent, String(zygoteProcess.pid));

    await e2e.killService();
    await e2e.up();
    assert.equal(await isopod("exec", "cloned", "--", "echo", "still here"), "still here");
    assert.equal((await readLog(e2e, "cloned")).trim(), "begun");
    await eventually("the zygote of a service that was killed is ended", async () => {
      // Perhaps a zombie still: its parent is gone.
      const [state = "Z"] = await processState(zygoteProcess.pid);
      return state === "Z";
    });
    await isopod("rm", "--force", "cloned");
  });

  test("a pod with two images has each container in its own", async () => {
    const layout = join(e2e.directory, "other-image");
    await writeDerivedImage(e2e.registry, layout, [[{ name: "other" }, "the other image"]]);
    const reference = `${e2e.registry.host}/other:1`;
    await mustRun("skopeo", [
      "copy",
      "--quiet",
      "--dest-tls-verify=false",
      `oci:${layout}:latest`,
      `docker://${reference}`,
    ]);
    const runBoth = async (name: string): Promise<void> => {
      const pod = shellPod(e2e, "cat /other || echo none", { name });
      const [main] = pod.spec.containers;
      assert.ok(main !== undefined);
      const other = { ...main, name: "other", image: reference };
      await createPod(e2e, { ...pod, spec: { ...pod.spec, containers: [main, other] } });
      await podUntil(e2e, name, "is over", isOver);
      assert.match(await readLog(e2e, name, { container: main.name }), /none/);
      assert.equal((await readLog(e2e, name, { container: "other" })).trim(), "the other image");
    };
    const known = new Set((await list()).map((one) => one.id));
    const added = async (): Promise<readonly TemplateLine[]> => (await list()).filter((one) => !known.has(one.id));
    // Of another size than the others, so there is no template yet.
    await runBoth("images-cold");
    assert.equal(await startedFrom("images-cold"), "cold");
    await eventually("a template of their size is there", async () => (await added()).length === 1);
    await runBoth("images-forked");
    assert.equal(await startedFrom("images-forked"), "template");
    await eventually("it has a zygote", async () => (await added()).every((one) => one.hasZygote));
    await runBoth("images-cloned");
  });

  test("a template that is damaged while it is in use is not used: the instance boots cold, and another is made", async () => {
    // There is one of another size, too.
    const small = async () => (await list()).find((one) => one.memoryMiB < 256);
    const before = await small();
    assert.ok(before !== undefined);
    const directory = join(e2e.dataDirectory, "cache", "templates", before.id);
    assert.deepEqual((await readdir(directory)).filter((name) => name !== "zygote").toSorted(), [
      "memory.packed",
      "scratch.qcow2",
      "state",
      "template.json",
    ]);
    await e2e.killService();
    await writeFile(join(directory, "state"), "not what it was");
    await e2e.up();
    assert.equal(await run("after-damage", "echo still"), "still");
    assert.equal(await startedFrom("after-damage"), "cold");
    await eventually("another is made", async () => (await small())?.isLoaded);
    assert.equal(await run("healed", "echo again"), "again");
    assert.equal(await startedFrom("healed"), "template");
  });

  test("templates are built ahead of time, listed and removed by hand", async () => {
    await isopod("template", "build", "0.1x128Mi");
    const small = (await list()).find((one) => one.memoryMiB < 256);
    assert.ok(small !== undefined);
    await isopod("template", "rm", small.id);
    assert.ok(!(await list()).some((one) => one.id === small.id));
    const { exitCode, stderr } = await e2e.isopod(["template", "rm", small.id]);
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /not found/);
  });
});
