import assert from "node:assert/strict";
import { test } from "node:test";
import { podTemplateOf, resources, type Snapshot, snapshotFinalizer } from "@isopod/api";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { Cli } from "../testing/cli.ts";
import { actAsNode, addPod } from "../testing/node-agent.ts";

const isPending = ({ status }: Snapshot): boolean => status?.phase === "Pending";

const all = async ({ client }: TestApi): Promise<readonly Snapshot[]> => (await client.list(resources.snapshots)).items;

test("snapshot waits until it is ready, is listed, and gone when its files are", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const pod = await addPod(api, "web");
  const ready = {
    phase: "Ready",
    message: null,
    nodeName: "n1",
    podUID: pod.metadata.uid,
    sizeBytes: 17 * 1024 * 1024,
    pauseMillis: 12.4,
    podTemplate: podTemplateOf(pod),
  };
  await using _node = actAsNode(api, {
    snapshot: (snapshot) => {
      if (!isPending(snapshot)) return undefined;
      return snapshot.status?.message === undefined ? { message: "waiting for the disk" } : ready;
    },
  });
  const named = await cli.run("snapshot", "web", "--name", "before-upgrade");
  assert.deepEqual([named.code, named.stdout], [0, "before-upgrade\n"]);
  assert.match(named.stderr, /^waiting for the disk\n17 MiB, on node n1; web stood still for 13 ms\n$/);
  const generated = await cli.run("snapshot", "web", "--output", "json");
  const { metadata, spec } = JSON.parse(generated.stdout) as Snapshot;
  assert.match(metadata.name, /^web-[a-z0-9]{5}$/);
  assert.deepEqual(spec, { podName: "web" });

  const listed = (await cli.run("snapshot", "ls")).stdout.split("\n");
  assert.match(listed[0] ?? "", /^NAME +POD +PHASE +NODE +SIZE +AGE$/);
  assert.match(listed[1] ?? "", /^before-upgrade +web +Ready +n1 +17 MiB +\d+s$/);
  assert.match((await cli.run("snapshot", "ls", "-A")).stdout, /^NAMESPACE +NAME .*\ndefault +before-upgrade /);
  assert.equal((await cli.run("snapshot", "-n", "elsewhere", "ls")).stdout, "NAME  POD  PHASE  NODE  SIZE  AGE\n");

  const hold = { metadata: { finalizers: [snapshotFinalizer] } };
  await api.client.patch(resources.snapshots, "default", "before-upgrade", hold);
  const removal = cli.start("snapshot", "rm", "before-upgrade", metadata.name, "absent");
  await waitUntil("the other is gone and this one is leaving", async () => {
    const [left, ...others] = await all(api);
    return others.length === 0 && left?.metadata.deletionTimestamp !== undefined;
  });
  await api.client.patch(resources.snapshots, "default", "before-upgrade", { metadata: { finalizers: null } });
  const removed = await removal.ended;
  assert.equal(removed.code, 1);
  assert.deepEqual(removed.stdout.split("\n").toSorted(), ["", "before-upgrade", metadata.name].toSorted());
  assert.match(removed.stderr, /"absent" not found/);
  assert.deepEqual(await all(api), []);
});

test("a snapshot that fails is told with the node's reason, and nothing of it stays", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "web");
  await using _node = actAsNode(api, {
    snapshot: (one) => (isPending(one) ? { phase: "Failed", message: "no space left on the data disk" } : undefined),
  });
  const { code, stdout, stderr } = await cli.run("snapshot", "web");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /^isopod: snapshot: web: no space left on the data disk\n {2}The instance runs on/m);
  assert.deepEqual(await all(api), []);
});

test("Ctrl-C cancels a snapshot by deleting it", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "web");
  const { child, ended } = cli.start("snapshot", "web");
  await waitUntil("it is asked for", async () => (await all(api)).length === 1);
  child.kill("SIGINT");
  const { code, stderr } = await ended;
  assert.equal(code, 130);
  assert.match(stderr, /interrupted; no snapshot is kept, web runs on/);
  assert.deepEqual(await all(api), []);
});

test("what does not run is not asked for, and a snapshot that somebody deletes is not waited for", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "early", { phase: "Pending" });
  assert.match(
    (await cli.run("snapshot", "early")).stderr,
    /early does not run yet \(Pending\) and cannot be kept in a snapshot/,
  );
  assert.match((await cli.run("snapshot", "absent")).stderr, /"absent" not found/);
  await addPod(api, "web");
  const { ended } = cli.start("snapshot", "web", "--name", "s");
  await waitUntil("it is asked for", async () => (await all(api)).length === 1);
  await api.client.delete(resources.snapshots, "default", "s");
  const { code, stderr } = await ended;
  assert.equal(code, 1);
  assert.match(stderr, /the snapshot s was deleted/);
});
