import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pod, podTemplateOf, resources, type Snapshot, snapshotAnnotation } from "@isopod/api";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { Cli } from "../testing/cli.ts";
import { actAsNode, addPod, runningStatus } from "../testing/node-agent.ts";

/** Makes every snapshot ready, with the pod it is of as its template. */
function snapshotsOf(original: Pod) {
  return ({ status }: Snapshot): object | undefined =>
    status?.phase === "Pending"
      ? { phase: "Ready", nodeName: "n1", podUID: original.metadata.uid, podTemplate: podTemplateOf(original) }
      : undefined;
}

const isClone = ({ metadata }: Pod): boolean => metadata.annotations?.[snapshotAnnotation] !== undefined;

const runClones = (pod: Pod): object | undefined =>
  isClone(pod) && pod.status?.phase === "Pending" ? runningStatus : undefined;

const allSnapshots = async ({ client }: TestApi): Promise<readonly Snapshot[]> =>
  (await client.list(resources.snapshots)).items;
const allClones = async ({ client }: TestApi): Promise<readonly Pod[]> =>
  (await client.list(resources.pods)).items.filter(
    (pod) => isClone(pod) && pod.metadata.deletionTimestamp === undefined,
  );

test("a clone is the original's pod from a snapshot of its own, on the node that has it", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const original = await addPod(api, "web");
  await using _node = actAsNode(api, { snapshot: snapshotsOf(original), pod: runClones });
  const { code, stdout, stderr } = await cli.run("clone", "web", "copy");
  assert.deepEqual([code, stdout], [0, "copy\n"], stderr);
  const [snapshot, ...others] = await allSnapshots(api);
  assert.ok(snapshot !== undefined && others.length === 0);
  const copy = await api.client.get(resources.pods, "default", "copy");
  assert.equal(copy.metadata.annotations?.[snapshotAnnotation], snapshot.metadata.name);
  assert.deepEqual(copy.metadata.labels, { app: "web" });
  assert.deepEqual(copy.spec.nodeSelector, { "kubernetes.io/hostname": "n1" });
  const { nodeName: _nodeName, ...spec } = original.spec;
  const { nodeSelector: _nodeSelector, ...copied } = copy.spec;
  assert.deepEqual(copied, spec);
  // It goes when the clone does.
  assert.deepEqual(
    snapshot.metadata.ownerReferences?.map(({ kind, uid }) => [kind, uid]),
    [["Pod", copy.metadata.uid]],
  );
});

test("a snapshot that is ready may be cloned again and again, under names made for the clones", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const original = await addPod(api, "web");
  await using _node = actAsNode(api, { snapshot: snapshotsOf(original), pod: runClones });
  assert.equal((await cli.run("snapshot", "web", "--name", "s")).code, 0);
  for (let round = 0; round < 2; round++) {
    const { code, stdout, stderr } = await cli.run("clone", "--snapshot", "s", "--output", "json");
    assert.equal(code, 0, stderr);
    assert.match((JSON.parse(stdout) as Pod).metadata.name, /^web-[a-z0-9]{5}$/);
  }
  assert.equal((await allClones(api)).length, 2);
  const [snapshot] = await allSnapshots(api);
  assert.equal(snapshot?.metadata.ownerReferences, undefined);
});

test("a name that is taken, a snapshot that is not ready, and too many names are refused before anything happens", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  await addPod(api, "web");
  await addPod(api, "db");
  assert.match((await cli.run("clone", "web", "db")).stderr, /there is an instance db already/);
  assert.deepEqual(await allSnapshots(api), []);
  const add = async (name: string) =>
    await api.client.create(resources.snapshots, {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "Snapshot",
      metadata: { name, namespace: "default" },
      spec: { podName: "web" },
    });
  await add("slow");
  await add("broken");
  const status = { phase: "Failed", message: "no space left" };
  await api.client.patch(resources.snapshots, "default", "broken", { status }, { subresource: "status" });
  assert.match((await cli.run("clone", "--snapshot", "slow")).stderr, /the snapshot slow is not ready yet\n {2}Wait/);
  assert.match((await cli.run("clone", "--snapshot", "broken")).stderr, /the snapshot broken failed: no space left/);
  assert.match((await cli.run("clone", "--snapshot", "absent")).stderr, /"absent" not found/);
  for (const args of [[], ["a", "b", "c"], ["--snapshot", "slow", "a", "b"]]) {
    const { code, stderr } = await cli.run("clone", ...args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, /isopod clone POD \[NEW\]/);
  }
  assert.deepEqual(await allClones(api), []);
});

test("a clone that cannot run is removed, and told with the reason; its own snapshot goes with it", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const original = await addPod(api, "web");
  const waiting = { reason: "CreateContainerError", message: "the snapshot's memory is damaged" };
  const [container] = runningStatus.containerStatuses ?? [];
  await using _node = actAsNode(api, {
    snapshot: snapshotsOf(original),
    pod: (pod) =>
      isClone(pod) && pod.status?.containerStatuses === undefined
        ? { containerStatuses: [{ ...container, ready: false, state: { waiting } }] }
        : undefined,
  });
  const { code, stderr } = await cli.run("clone", "web", "copy");
  assert.equal(code, 125);
  assert.match(stderr, /the snapshot's memory is damaged/);
  assert.deepEqual(await allClones(api), []);
  const [snapshot] = await allSnapshots(api);
  // Its owner is gone, or going: the garbage collector's to remove, which this API server is without.
  assert.equal(snapshot?.metadata.ownerReferences?.[0]?.name, "copy");
});

test("a pod that the API refuses leaves no snapshot behind", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const original = await addPod(api, "web");
  await using _node = actAsNode(api, { snapshot: snapshotsOf(original) });
  const { code, stderr } = await cli.run("clone", "web", "Not-A-Name");
  assert.equal(code, 1);
  assert.match(stderr, /metadata\.name/);
  assert.deepEqual(await allSnapshots(api), []);
});

test("Ctrl-C takes back the snapshot, or the clone", async () => {
  await using api = await startTestApi();
  await using cli = await Cli.of(api.config);
  const original = await addPod(api, "web");
  const first = cli.start("clone", "web", "copy");
  await waitUntil("the snapshot is asked for", async () => (await allSnapshots(api)).length === 1);
  first.child.kill("SIGINT");
  assert.equal((await first.ended).code, 130);
  assert.deepEqual(await allSnapshots(api), []);

  await using _node = actAsNode(api, { snapshot: snapshotsOf(original) });
  const second = cli.start("clone", "web", "copy");
  await waitUntil("the clone is asked for", async () => {
    const [snapshot] = await allSnapshots(api);
    return snapshot?.metadata.ownerReferences !== undefined;
  });
  second.child.kill("SIGINT");
  const { code, stderr } = await second.ended;
  assert.equal(code, 130);
  assert.match(stderr, /there is no clone/);
  assert.deepEqual(await allClones(api), []);
});
