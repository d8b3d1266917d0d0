import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { isImageError } from "../image-error.ts";
import { checkDisk, joinDisk } from "../testing/mounted-disk.ts";
import { buildTar } from "../testing/tar-builder.ts";
import { startFront } from "../testing/test-front.ts";
import { buildTestImage, pushImage, writeLayout } from "../testing/test-image.ts";
import { startRegistry } from "../testing/test-registry.ts";
import { filesIn, isError, openStore } from "../testing/test-store.ts";

const shared = { tar: buildTar([{ path: "shared", content: "shared" }]) };
const one = buildTestImage([shared, { tar: buildTar([{ path: "one", content: "1" }]) }]);
const two = buildTestImage([shared, { tar: buildTar([{ path: "two", content: "2" }]) }]);

async function layout(directory: string, name: string, image: typeof one): Promise<string> {
  const path = join(directory, `layout-${randomBytes(4).toString("hex")}`);
  await writeLayout(path, image, name);
  return path;
}

test("garbage is what no name and no holder needs; layers that are shared stay", async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore(join(directory.path, "store"));
  await store.load(await layout(directory.path, "reg.io/one:v1", one));
  await store.load(await layout(directory.path, "reg.io/two:v1", two));
  assert.deepEqual(await store.collectGarbage(), { removedBlobs: 0, freedBytes: 0 });
  await store.remove("reg.io/one:v1");
  assert.equal(await store.get("reg.io/one:v1"), undefined);
  const collected = await store.collectGarbage();
  assert.equal(collected.removedBlobs, 1);
  assert.ok(collected.freedBytes >= 4096);
  const left = await store.list();
  assert.deepEqual(
    left.map((image) => image.references),
    [["reg.io/two:v1"]],
  );
  for (const part of left[0]?.disk ?? []) assert.equal((await readFile(part.path)).length, part.sizeBytes);
  await store.remove(two.manifest.digest);
  await store.collectGarbage();
  assert.deepEqual(await filesIn(join(directory.path, "store")), []);
});

test("a held image cannot be removed nor collected, until its last holder lets go", async () => {
  await using directory = await temporaryDirectory();
  const at = join(directory.path, "store");
  const digest = one.manifest.digest;
  {
    await using store = await openStore(at);
    await store.load(await layout(directory.path, "reg.io/one:v1", one));
    await store.load(await layout(directory.path, "reg.io/two:v1", two));
    await store.load(await layout(directory.path, "reg.io/one:v2", one));
    await store.hold(digest, "default/pod a#1");
    await store.hold(digest, "default/pod a#1");
    await store.hold(two.manifest.digest, "default/pod a#1");
    await store.hold(digest, "b");
    await assert.rejects(store.hold(`sha256:${"0".repeat(64)}`, "b"), isError("NotFound"));
    await store.remove("reg.io/one:v2");
    await assert.rejects(store.remove("reg.io/one:v1"), isError("InUse"));
  }
  // Holds outlive the process.
  await using store = await openStore(at);
  await assert.rejects(store.remove(digest), (error) => {
    assert.ok(isImageError(error, "InUse"));
    assert.match(error.message, /is used by 2: b, default\/pod a#1/);
    return true;
  });
  await store.release("default/pod a#1");
  await store.release("default/pod a#1");
  await store.release("never heard of");
  await assert.rejects(store.remove(digest), isError("InUse"));
  await store.release("b");
  await store.remove(digest);
  await assert.rejects(store.remove(digest), isError("NotFound"));
  await assert.rejects(store.remove("reg.io/one:v1"), isError("NotFound"));
});

test("a hold that comes while garbage is collected either keeps the image or is refused", async () => {
  await using directory = await temporaryDirectory();
  const at = join(directory.path, "store");
  await using store = await openStore(at);
  for (let turns = 0; turns < 8; turns++) {
    const digest = one.manifest.digest;
    await store.load(await layout(directory.path, "reg.io/one:v1", one));
    // Its name moves on: nothing but a hold keeps it now.
    await store.load(await layout(directory.path, "reg.io/one:v1", two));
    const collecting = store.collectGarbage();
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    const isHeld = await store.hold(digest, "a").then(
      () => true,
      () => false,
    );
    await collecting;
    assert.equal((await store.get(digest)) !== undefined, isHeld);
    await store.release("a");
    await store.collectGarbage();
  }
});

test("a store that is opened again has what it had; damaged and half-made files are dropped", async () => {
  await using directory = await temporaryDirectory();
  const at = join(directory.path, "store");
  {
    await using store = await openStore(at);
    await store.load(await layout(directory.path, "reg.io/one:v1", one));
    await store.load(await layout(directory.path, "reg.io/two:v1", two));
  }
  const before = await filesIn(at);
  await writeFile(join(at, "tmp", "left"), "half");
  await writeFile(join(at, "images", "x.json.tmp-1-abc"), "half");
  await writeFile(join(at, "layers", `${"0".repeat(64)}.data`), "half");
  {
    await using store = await openStore(at);
    assert.deepEqual(
      (await store.list()).flatMap((image) => image.references),
      ["reg.io/one:v1", "reg.io/two:v1"],
    );
    assert.deepEqual((await filesIn(at)).toSorted(), before.toSorted());
    const part = (await store.get("reg.io/one:v1"))?.disk[2];
    await rm(part?.path ?? "");
  }
  await using store = await openStore(at);
  assert.deepEqual(
    (await store.list()).flatMap((image) => image.references),
    ["reg.io/two:v1"],
  );
  assert.equal((await store.load(await layout(directory.path, "reg.io/one:v1", one))).length, 1);
});

test("one process at a time has a store", async () => {
  await using directory = await temporaryDirectory();
  const store = await openStore(directory.path);
  const waiting = openStore(directory.path);
  await delay(200);
  await store[Symbol.asyncDispose]();
  await using second = await waiting;
  assert.deepEqual(await second.list(), []);
  await assert.rejects(store.pull("reg.io/x"), isError("StoreClosed"));
});

test("killed at any moment, a store opens again, has no rubbish and pulls the rest", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const layers = [1, 2, 3].map((number) => ({
    tar: buildTar([{ path: `f${number}`, content: randomBytes(1_500_000) }]),
  }));
  await pushImage(registry.host, "x", "v1", buildTestImage(layers));
  const name = `${registry.host}/x:v1`;
  const script = join(directory.path, "pull.ts");
  const index = new URL("../index.ts", import.meta.url).href;
  const base = import.meta.resolve("@isopod/base");
  await writeFile(
    script,
    `import { openImageStore } from ${JSON.stringify(index)};
     import { silentLogger } from ${JSON.stringify(base)};
     await using store = await openImageStore({ directory: process.argv[2] ?? "", logger: silentLogger });
     await store.pull(${JSON.stringify(name)}, { onProgress: (progress) => process.send?.(progress.stage) });`,
  );
  const at = join(directory.path, "store");
  for (const stage of ["resolve", "download", "convert", "commit"]) {
    for (const waitMs of [0, 30]) {
      const child = fork(script, [at], { stdio: "ignore" });
      const exited = once(child, "exit");
      child.on("message", (told) => {
        if (told === stage) setTimeout(() => child.kill("SIGKILL"), waitMs);
      });
      await exited;
      await using store = await openStore(at);
      assert.deepEqual(await filesIn(join(at, "tmp")), []);
      for (const image of await store.list()) {
        const disk = join(directory.path, `disk-${stage}-${waitMs}`);
        await joinDisk(image.disk, disk);
        await checkDisk(disk);
      }
    }
  }
  await using store = await openStore(at);
  const pulled = await store.pull(name);
  await joinDisk(pulled.disk, join(directory.path, "disk"));
  await checkDisk(join(directory.path, "disk"));
});

test("a full disk is told as such, and nothing is left behind", {
  skip: process.getuid?.() !== 0 && "needs root",
}, async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const big = { tar: buildTar([{ path: "big", content: randomBytes(12_000_000) }]) };
  await pushImage(registry.host, "x", "v1", buildTestImage([shared, big]));
  await pushImage(registry.host, "y", "v1", buildTestImage([shared]));
  const small = join(directory.path, "small");
  await mkdir(small);
  await runCommand("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", small]);
  try {
    await using store = await openStore(small);
    await assert.rejects(store.pull(`${registry.host}/x:v1`), isError("NoSpace"));
    assert.deepEqual(await filesIn(small), []);
    // The store is as good as before.
    await store.pull(`${registry.host}/y:v1`);
  } finally {
    await runCommand("umount", [small]);
  }
});

test("layers a pull is about to use are not collected under it", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const slow = buildTestImage([shared, { tar: buildTar([{ path: "slow", content: randomBytes(100_000) }]) }]);
  await pushImage(registry.host, "x", "v1", slow);
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  await using front = await startFront(registry.host, async (request, _response, forward) => {
    if (request.url?.endsWith(slow.layers[1]?.digest ?? "") === true) {
      reach();
      await gate;
    }
    await forward();
  });
  await using store = await openStore(join(directory.path, "store"));
  await store.load(await layout(directory.path, "reg.io/one:v1", one));
  const pull = store.pull(`${front.host}/x:v1`);
  await reached;
  await store.remove("reg.io/one:v1");
  await store.collectGarbage();
  openGate();
  for (const part of (await pull).disk) assert.equal((await readFile(part.path)).length, part.sizeBytes);
});
