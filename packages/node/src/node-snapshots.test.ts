import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import { isNotFound, type Pod, resources, type Snapshot, snapshotFinalizer } from "@isopod/api";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { startTestApi, waitUntil } from "@isopod/client/testing";
import { NodeSnapshots, type SavablePod } from "./node-snapshots.ts";
import { SnapshotFiles } from "./snapshot-files.ts";
import { podWith } from "./testing/pods.ts";

const podTemplate = { metadata: {}, spec: { containers: [{ name: "main", image: "busybox:1.36" }] } };

/** A node with one instance, `web`, over a real API and real files; `saving` decides how long and how well it is saved. */
async function startNode(saving: (signal: AbortSignal) => Promise<void> = async () => {}) {
  const api = await startTestApi();
  const directory = await temporaryDirectory();
  const ended: string[] = [];
  let isStuck = false;
  const files = new SnapshotFiles(join(directory.path, "snapshots"), {
    end: async (path) => {
      ended.push(path);
      if (isStuck) throw new Error("its cgroup is busy");
    },
  });
  const held = new Set<string>();
  const pod = podWith({}, { namespace: "default" });
  const web: SavablePod = {
    pod,
    imageDigests: ["sha256:1"],
    save: async (path, signal) => {
      await mkdir(`${path}.unfinished`, { recursive: true });
      await saving(signal);
      signal.throwIfAborted();
      await mkdir(path);
      const container = { name: "main", restartCount: 0, imageDigest: "sha256:1", outputFrom: 7 };
      return { podTemplate, containers: [container], summary: { pausedMs: 12.3456, sizeBytes: 4096 } };
    },
  };
  const start = () => {
    const stop = new AbortController();
    const snapshots = new NodeSnapshots({
      client: api.client,
      clock: systemClock,
      logger: silentLogger,
      events: { normal: () => {} },
      images: {
        hold: async (_digest, holder) => void held.add(holder),
        release: async (holder) => void held.delete(holder),
      },
      files,
      nodeName: "node-1",
      findPod: (_namespace, name) => (name === "web" ? web : undefined),
    });
    const running = snapshots.run(stop.signal);
    return async (): Promise<void> => {
      stop.abort(new Error("the node agent stops"));
      await running;
    };
  };
  let stopped = async (): Promise<void> => {};
  return {
    api,
    files,
    held,
    ended,
    makeStuck: (value: boolean) => {
      isStuck = value;
    },
    directory: join(directory.path, "snapshots"),
    begin: () => {
      stopped = start();
    },
    end: async () => await stopped(),
    create: async (name: string, podName = "web", metadata: Partial<Snapshot["metadata"]> = {}): Promise<Snapshot> =>
      await api.client.create(resources.snapshots, {
        apiVersion: "isopod.dev/v1alpha1",
        kind: "Snapshot",
        metadata: { name, namespace: "default", ...metadata },
        spec: { podName },
      }),
    get: async (name: string): Promise<Snapshot | undefined> =>
      await api.client.get(resources.snapshots, "default", name).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      }),
    [Symbol.asyncDispose]: async () => {
      await stopped();
      await api[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const phaseOf = (snapshot: Snapshot | undefined): string | undefined => snapshot?.status?.phase;

test("a snapshot gets all that a clone needs, keeps its images, and takes its files with it", async () => {
  await using node = await startNode();
  node.begin();
  const { metadata } = await node.create("kept");
  await waitUntil("it is ready", async () => phaseOf(await node.get("kept")) === "Ready");
  const { status, metadata: made } = (await node.get("kept")) ?? assert.fail();
  const { completedAt, ...told } = status ?? {};
  assert.ok(Math.abs(Date.parse(completedAt ?? "") - Date.now()) < 60_000);
  assert.deepEqual(told, {
    phase: "Ready",
    nodeName: "node-1",
    podUID: podWith().metadata.uid,
    sizeBytes: 4096,
    pauseMillis: 12.346,
    podTemplate,
  });
  assert.deepEqual(made.finalizers, [snapshotFinalizer]);
  assert.equal((await node.files.read(metadata.uid ?? ""))?.containers[0]?.outputFrom, 7);
  assert.ok(node.held.has(metadata.uid ?? ""));
  await node.api.client.delete(resources.snapshots, "default", "kept");
  await waitUntil("it is gone", async () => (await node.get("kept")) === undefined);
  assert.deepEqual(await readdir(node.directory), []);
  assert.equal(node.held.size, 0);
});

test("what cannot be saved is Failed with the reason, and nothing is left of it", async () => {
  await using node = await startNode(async () => {
    throw new Error("the disk is full");
  });
  node.begin();
  await node.create("failing");
  await node.create("nobody", "no-such-pod");
  for (const [name, message] of [
    ["failing", /the disk is full/],
    ["nobody", /there is no instance no-such-pod/],
  ] as const) {
    await waitUntil(`${name} has failed`, async () => phaseOf(await node.get(name)) === "Failed");
    const isFree = async () => ((await node.get(name))?.metadata.finalizers ?? []).length === 0;
    await waitUntil("nothing keeps it from being deleted", isFree);
    assert.match((await node.get(name))?.status?.message ?? "", message);
  }
  assert.deepEqual(await readdir(node.directory), []);
  assert.equal(node.held.size, 0);
});

test("one that failed is told so while it cannot be removed, and is let go when it could be", async () => {
  await using node = await startNode(async () => {
    node.makeStuck(true);
    throw new Error("the disk is full");
  });
  node.begin();
  const { metadata } = await node.create("failing");
  await waitUntil("it has failed", async () => phaseOf(await node.get("failing")) === "Failed");
  assert.deepEqual((await node.get("failing"))?.metadata.finalizers, [snapshotFinalizer]);
  assert.ok(node.held.has(metadata.uid ?? ""));
  node.makeStuck(false);
  const isFree = async () => ((await node.get("failing"))?.metadata.finalizers ?? []).length === 0;
  await waitUntil("nothing keeps it from being deleted", isFree);
  assert.deepEqual(await readdir(node.directory), []);
  assert.equal(node.held.size, 0);
});

test("a snapshot of another node's instance is that node's", async () => {
  await using node = await startNode();
  const other: Pod = podWith({ nodeName: "node-2" }, { name: "far", namespace: "default" });
  await node.api.client.create(resources.pods, { ...other, metadata: { name: "far", namespace: "default" } });
  node.begin();
  await node.create("theirs", "far");
  await node.create("ours");
  await waitUntil("ours is ready", async () => phaseOf(await node.get("ours")) === "Ready");
  assert.deepEqual((await node.get("theirs"))?.status, { phase: "Pending" });
});

test("deleting one that is being made cancels it", async () => {
  const begun = Promise.withResolvers<void>();
  await using node = await startNode(async (signal) => {
    begun.resolve();
    await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  node.begin();
  await node.create("unwanted");
  await begun.promise;
  const pending = await node.get("unwanted");
  assert.deepEqual([phaseOf(pending), pending?.status?.nodeName], ["Pending", "node-1"]);
  assert.match(pending?.status?.message ?? "", /web is being saved/);
  await node.api.client.delete(resources.snapshots, "default", "unwanted");
  await waitUntil("it is gone", async () => (await node.get("unwanted")) === undefined);
  assert.deepEqual(await readdir(node.directory), []);
  assert.equal(node.held.size, 0);
});

test("a node agent that comes back ends what was cut off, and keeps what the API has", async () => {
  const begun = Promise.withResolvers<void>();
  await using node = await startNode(async (signal) => {
    begun.resolve();
    await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  node.begin();
  const { metadata } = await node.create("cut-off");
  await begun.promise;
  await node.end();
  // What kill -9 leaves of another: files that were never whole, with a machine that made them.
  await mkdir(join(node.directory, "half.unfinished", "machine"), { recursive: true });
  // Two whole ones: of a snapshot that is there, and of one that went while nobody watched.
  const { metadata: kept } = await node.create("kept", "no-pod-here-any-more");
  const keptUid = kept.uid ?? "";
  await node.api.client.patch(
    resources.snapshots,
    "default",
    "kept",
    { status: { phase: "Ready", nodeName: "node-1", podTemplate } },
    { subresource: "status" },
  );
  for (const [uid, name] of [
    [keptUid, "kept"],
    ["99999999-2222-4333-8444-555555555555", "gone"],
  ] as const) {
    await mkdir(node.files.directoryOf(uid));
    await node.files.finish({ uid, name, namespace: "default", podTemplate, containers: [] });
  }
  await node.create("lost", "web");
  await node.api.client.patch(
    resources.snapshots,
    "default",
    "lost",
    { status: { phase: "Ready", nodeName: "node-1", podTemplate } },
    { subresource: "status" },
  );
  node.begin();
  await waitUntil("it has failed", async () => phaseOf(await node.get("cut-off")) === "Failed");
  assert.match((await node.get("cut-off"))?.status?.message ?? "", /interrupted/);
  assert.equal(node.held.has(metadata.uid ?? ""), false);
  await waitUntil("one without files has failed", async () => phaseOf(await node.get("lost")) === "Failed");
  await waitUntil("only one is left", async () => (await readdir(node.directory)).length === 1);
  assert.ok(await node.files.read(keptUid));
  assert.equal(phaseOf(await node.get("kept")), "Ready");
  assert.ok(node.ended.includes(join(node.directory, "half.unfinished", "machine")));
});

test("what cannot be ended of a snapshot that was cut off stays, and keeps no other from being found", async () => {
  await using directory = await temporaryDirectory();
  let isStuck = true;
  const files = new SnapshotFiles(directory.path, {
    end: async () => {
      if (isStuck) throw new Error("its cgroup is busy");
    },
  });
  for (const name of ["a.unfinished", "z.unfinished"])
    await mkdir(join(directory.path, name, "machine"), { recursive: true });
  const uid = "11111111-2222-4333-8444-555555555555";
  await mkdir(files.directoryOf(uid));
  await files.finish({ uid, name: "one", namespace: "default", podTemplate, containers: [] });
  assert.deepEqual(
    (await files.load(silentLogger)).map((one) => one.uid),
    [uid],
  );
  assert.equal((await readdir(directory.path)).length, 3);
  isStuck = false;
  await files.load(silentLogger);
  assert.deepEqual(await readdir(directory.path), [basename(files.directoryOf(uid))]);
});

test("a directory is short enough for the sockets of a machine in it, and speaks for one snapshot only", async () => {
  await using directory = await temporaryDirectory();
  const files = new SnapshotFiles(directory.path, { end: async () => {} });
  const uid = "11111111-2222-4333-8444-555555555555";
  // A data directory leaves room for `/instances/UID/vm-N`: 53 bytes.
  const below = `/snapshots/${basename(files.directoryOf(uid))}.unfinished/machine`;
  assert.ok(below.length <= 53, below);
  await mkdir(files.directoryOf(uid));
  await files.finish({ uid, name: "one", namespace: "default", podTemplate, containers: [] });
  assert.equal(await files.read("11111111-2222-4333-8444-666666666666"), undefined);
  await writeFile(join(files.directoryOf(uid), "instance.json"), "{");
  assert.equal(await files.read(uid), undefined);
});
