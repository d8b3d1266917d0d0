import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import type { PullProgress } from "../contract.ts";
import { mediaTypes } from "../registry/manifest.ts";
import { mountDisk } from "../testing/mounted-disk.ts";
import { buildTar } from "../testing/tar-builder.ts";
import { startFront } from "../testing/test-front.ts";
import { blobOf, buildTestImage, descriptorOf, pushImage, putManifest, writeLayout } from "../testing/test-image.ts";
import { startRegistry } from "../testing/test-registry.ts";
import { filesIn, isError, openStore } from "../testing/test-store.ts";

const skip = process.getuid?.() !== 0 && "mounting needs root";

const base = {
  tar: buildTar([{ path: "etc/" }, { path: "etc/os", content: "base" }, { path: "etc/old", content: "x" }]),
};
const zstdTop = {
  tar: buildTar([{ path: "etc/.wh.old" }, { path: "app", content: "zstd" }]),
  compression: "zstd",
} as const;
const plainTop = { tar: buildTar([{ path: "more", content: "plain" }]), compression: "none" } as const;
/** Does not compress, so that there is something to stop half-way. */
const bigLayer = { tar: buildTar([{ path: "big", content: randomBytes(3_000_000) }]) };

test("an image pushed to a registry is pulled, mounted and described", { skip }, async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const containerConfig = {
    Env: ["PATH=/bin"],
    Cmd: ["sh"],
    Entrypoint: null,
    User: "1000:1000",
    WorkingDir: "/app",
    Labels: { a: "b", c: 5 },
    Volumes: { "/data": {} },
    StopSignal: "SIGINT",
  };
  const image = buildTestImage([base, zstdTop, plainTop, base], { containerConfig });
  await pushImage(registry.host, "team/app", "v1", image);
  await using store = await openStore(directory.path);
  const told: PullProgress[] = [];
  const pulled = await store.pull(`${registry.host}/team/app:v1`, { onProgress: (progress) => told.push(progress) });

  assert.equal(pulled.digest, image.manifest.digest);
  assert.deepEqual(pulled.references, [`${registry.host}/team/app:v1`]);
  assert.deepEqual(pulled.config, {
    env: ["PATH=/bin"],
    entrypoint: [],
    cmd: ["sh"],
    user: "1000:1000",
    workingDir: "/app",
    stopSignal: "SIGINT",
    labels: { a: "b" },
    volumes: ["/data"],
  });
  assert.equal(pulled.createdMs, Date.UTC(2024, 4, 6, 7, 8, 9));
  assert.equal(pulled.architecture, "amd64");
  const downloadBytes = image.layers.reduce((sum, layer) => sum + layer.content.length, 0);
  assert.equal(pulled.downloadBytes, downloadBytes);
  // The base comes twice, as a fourth layer it brings its files back; its blob is on the disk once.
  assert.equal(pulled.disk.length, 4);
  await using mounted = await mountDisk(pulled.disk);
  const { stdout } = await runCommand("bash", ["-c", "cd $0; find . -type f | sort | xargs tail -n +1", mounted.root]);
  const expected = ["./app", "zstd", "./etc/old", "x", "./etc/os", "base", "./more", "plain"];
  assert.deepEqual(
    stdout
      .replaceAll(/==> | <==/g, "")
      .split("\n")
      .filter((line) => line !== ""),
    expected,
  );

  assert.deepEqual(
    [...new Set(told.map((progress) => progress.stage))],
    ["resolve", "download", "convert", "commit", "done"],
  );
  assert.deepEqual(told.at(-1), {
    reference: `${registry.host}/team/app:v1`,
    stage: "done",
    doneBytes: downloadBytes,
    totalBytes: downloadBytes,
  });
  assert.equal((await filesIn(join(directory.path, "tmp"))).length, 0);
});

test("of an index the manifest of this platform is taken, and skopeo's push is understood", { skip }, async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const fitting = buildTestImage([base]);
  const foreign = buildTestImage([zstdTop], { architecture: "s390x" });
  await writeLayout(join(directory.path, "layout"), fitting, "v1");
  const copy = ["copy", "--insecure-policy", "--dest-tls-verify=false", `oci:${directory.path}/layout:v1`];
  await runCommand("skopeo", [...copy, "--format", "v2s2", `docker://${registry.host}/x:docker`]);
  await pushImage(registry.host, "x", "oci", fitting);
  await pushImage(registry.host, "x", "foreign", foreign);
  const indexOf = (images: readonly (readonly [typeof fitting, string])[]) =>
    blobOf(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociIndex,
        manifests: images.map(([image, architecture]) => ({
          ...descriptorOf(image.manifest, mediaTypes.ociManifest),
          platform: { os: "linux", architecture },
        })),
      }),
    );
  const both = indexOf([
    [foreign, "s390x"],
    [fitting, "amd64"],
  ]);
  await putManifest(registry.host, "x", "both", both, mediaTypes.ociIndex);
  await putManifest(registry.host, "x", "none", indexOf([[foreign, "s390x"]]), mediaTypes.ociIndex);

  await using store = await openStore(join(directory.path, "store"));
  const docker = await store.pull(`${registry.host}/x:docker`);
  const chosen = await store.pull(`${registry.host}/x:both`);
  assert.equal(chosen.digest, fitting.manifest.digest);
  assert.notEqual(docker.digest, chosen.digest);
  // Two manifests, one layer.
  assert.equal(docker.disk[1]?.path, chosen.disk[1]?.path);
  await assert.rejects(store.pull(`${registry.host}/x:none`), isError("NoPlatform"));
  await assert.rejects(store.pull(`${registry.host}/x:foreign`), isError("NoPlatform"));

  // By the index's own digest, and then again without a registry.
  const byDigest = `${registry.host}/x@${both.digest}`;
  assert.equal((await store.pull(byDigest)).digest, fitting.manifest.digest);
  await registry[Symbol.asyncDispose]();
  assert.equal((await store.pull(byDigest)).digest, fitting.manifest.digest);
  assert.equal((await store.pull(`${registry.host}/y@${docker.digest}`)).digest, docker.digest);
  await assert.rejects(store.pull(`${registry.host}/x:both`), isError("RegistryUnreachable"));
});

test("what is not there, or no image, is told apart", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const push = async (tag: string, alterManifest: (manifest: Record<string, unknown>) => unknown) =>
    await pushImage(registry.host, "x", tag, buildTestImage([base], { alterManifest, comment: tag }));
  const config = (mediaType: string) => (manifest: Record<string, unknown>) => {
    const descriptor = manifest["config"];
    return { ...manifest, config: { ...(typeof descriptor === "object" ? descriptor : {}), mediaType } };
  };
  await push("chart", config("application/vnd.cncf.helm.config.v1+json"));
  await push("layers", (manifest) => ({ ...manifest, layers: [] }));
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${registry.host}/x:missing`), isError("NotFound"));
  await assert.rejects(store.pull(`${registry.host}/nobody:v1`), isError("NotFound"));
  await assert.rejects(store.pull(`${registry.host}/x:chart`), isError("UnsupportedMediaType"));
  await assert.rejects(store.pull(`${registry.host}/x:layers`), isError("InvalidManifest"));
  await assert.rejects(store.pull("127.0.0.1:1/x"), isError("RegistryUnreachable"));
  await assert.rejects(store.pull("X"), isError("InvalidReference"));
  assert.deepEqual(await filesIn(directory.path), []);
});

test("a moved tag leaves the old image without a name, for the collector", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const name = `${registry.host}/x:v1`;
  await using store = await openStore(directory.path);
  const [first, second] = [buildTestImage([base, zstdTop]), buildTestImage([base, plainTop])];
  await pushImage(registry.host, "x", "v1", first);
  await store.pull(name);
  await pushImage(registry.host, "x", "v1", second);
  assert.equal((await store.pull(name)).digest, second.manifest.digest);
  assert.deepEqual((await store.get(first.manifest.digest))?.references, []);
  // The layer both share stays.
  assert.equal((await store.collectGarbage()).removedBlobs, 2);
  assert.equal(await store.get(first.manifest.digest), undefined);
  const kept = await store.get(name);
  for (const part of kept?.disk ?? []) assert.equal((await readFile(part.path)).length, part.sizeBytes);
});

test("concurrent pulls of one image, and of two that share a layer, download each layer once", async () => {
  await using registry = await startRegistry();
  await using front = await startFront(registry.host, async (_request, _response, forward) => await forward());
  await using directory = await temporaryDirectory();
  await pushImage(registry.host, "x", "v1", buildTestImage([bigLayer, zstdTop]));
  await pushImage(registry.host, "y", "v1", buildTestImage([bigLayer, plainTop]));
  await using store = await openStore(directory.path);
  const names = ["x", "x", "y", "x"];
  const images = await Promise.all(names.map(async (name) => await store.pull(`${front.host}/${name}:v1`)));
  assert.equal(new Set(images.map((image) => image.digest)).size, 2);
  const digest = buildTestImage([bigLayer]).layers[0]?.digest ?? "";
  assert.equal(front.requests.filter((request) => request.endsWith(digest)).length, 1);
  assert.equal((await store.list()).length, 2);
});

test("a pull that is given up ends at once and leaves nothing; another one waiting for it goes on", async () => {
  await using registry = await startRegistry();
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  const image = buildTestImage([bigLayer]);
  const digest = image.layers[0]?.digest ?? "";
  await using front = await startFront(registry.host, async (request, _response, forward) => {
    if (request.url?.endsWith(digest) === true) {
      reach();
      await gate;
    }
    await forward();
  });
  await using directory = await temporaryDirectory();
  await pushImage(registry.host, "x", "v1", image);
  await using store = await openStore(directory.path);
  const impatient = new AbortController();
  const first = store.pull(`${front.host}/x:v1`, { signal: impatient.signal });
  await reached;
  const second = store.pull(`${front.host}/x:v1`);
  impatient.abort();
  await assert.rejects(first, { name: "AbortError" });
  openGate();
  assert.equal((await second).digest, image.manifest.digest);

  await store.remove(`${front.host}/x:v1`);
  await store.collectGarbage();
  const alone = new AbortController();
  const pull = store.pull(`${front.host}/x:v1`, { signal: alone.signal, onProgress: () => alone.abort() });
  await assert.rejects(pull, { name: "AbortError" });
  assert.deepEqual(await filesIn(directory.path), []);
});

test("a mirror is asked first, and the registry itself when the mirror has nothing", async () => {
  await using registry = await startRegistry();
  await using mirror = await startRegistry();
  await using directory = await temporaryDirectory();
  await pushImage(mirror.host, "library/x", "v1", buildTestImage([base]));
  await pushImage(registry.host, "library/only", "v1", buildTestImage([base], { comment: "only" }));
  await using store = await openStore(directory.path, { mirrors: { [registry.host]: [mirror.host] } });
  assert.deepEqual((await store.pull(`${registry.host}/library/x:v1`)).references, [`${registry.host}/library/x:v1`]);
  await store.pull(`${registry.host}/library/only:v1`);
});

test("however many layers are converted at once, the disk is the same", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  await pushImage(registry.host, "x", "v1", buildTestImage([base, bigLayer, zstdTop, plainTop]));
  const disks: Buffer[] = [];
  for (const maxParallelLayers of [1, 4]) {
    await using store = await openStore(join(directory.path, `${maxParallelLayers}`), { maxParallelLayers });
    const { disk } = await store.pull(`${registry.host}/x:v1`);
    disks.push(Buffer.concat(await Promise.all(disk.map(async (part) => await readFile(part.path)))));
  }
  assert.deepEqual(disks[0], disks[1]);
});
