import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { checkDisk, joinDisk } from "../testing/mounted-disk.ts";
import { buildTar } from "../testing/tar-builder.ts";
import { buildTestImage, writeLayout } from "../testing/test-image.ts";
import { isError, openStore } from "../testing/test-store.ts";

const image = buildTestImage(
  [
    { tar: buildTar([{ path: "a", content: "a".repeat(10_000) }]) },
    { tar: buildTar([{ path: "b", content: "b" }]), compression: "zstd" },
  ],
  { containerConfig: { Cmd: ["run"] } },
);

test("an OCI layout is loaded from a directory, a tar, and a compressed tar", async () => {
  await using directory = await temporaryDirectory();
  const layout = join(directory.path, "layout");
  await writeLayout(layout, image, "ghcr.io/team/app:v2");
  const tar = join(directory.path, "layout.tar");
  await runCommand("tar", ["-C", layout, "-cf", tar, "."]);
  await runCommand("gzip", ["-k", tar]);
  await runCommand("zstd", ["-q", tar]);
  for (const path of [layout, tar, `${tar}.gz`, `${tar}.zst`]) {
    await using store = await openStore(join(directory.path, `store-${path.length}`));
    const [loaded, ...more] = await store.load(path);
    assert.equal(more.length, 0);
    assert.equal(loaded?.digest, image.manifest.digest);
    assert.deepEqual(loaded?.references, ["ghcr.io/team/app:v2"]);
    assert.deepEqual(loaded?.config.cmd, ["run"]);
    const disk = join(directory.path, `disk-${path.length}`);
    await joinDisk(loaded?.disk ?? [], disk);
    await checkDisk(disk);
  }
});

test("what skopeo writes for docker load is loaded with its tags, always as the same image", async () => {
  await using directory = await temporaryDirectory();
  const layout = join(directory.path, "layout");
  // Docker's format knows gzip only.
  await writeLayout(layout, buildTestImage([{ tar: buildTar([{ path: "a", content: "a" }]) }]), "v1");
  const saved = join(directory.path, "saved.tar");
  const copy = ["copy", "--insecure-policy", `oci:${layout}:v1`];
  await runCommand("skopeo", [...copy, `docker-archive:${saved}:docker.io/team/app:v1`]);
  const digests = new Set<string>();
  for (const name of ["one", "two"]) {
    await using store = await openStore(join(directory.path, name));
    const [loaded] = await store.load(saved);
    assert.deepEqual(loaded?.references, ["docker.io/team/app:v1"]);
    assert.equal(loaded?.disk.length, 2);
    digests.add(loaded?.digest ?? "");
  }
  assert.equal(digests.size, 1);
});

test("a name can be given; a bare tag in the layout is none", async () => {
  await using directory = await temporaryDirectory();
  await writeLayout(join(directory.path, "layout"), image, "latest");
  await using store = await openStore(join(directory.path, "store"));
  assert.deepEqual((await store.load(join(directory.path, "layout")))[0]?.references, []);
  const [named] = await store.load(join(directory.path, "layout"), { reference: "app" });
  assert.deepEqual(named?.references, ["docker.io/library/app:latest"]);
  assert.equal((await store.get("app"))?.digest, image.manifest.digest);
});

test("a docker save with one layer linked to another, as older versions write it", async () => {
  await using directory = await temporaryDirectory();
  const tar = buildTar([{ path: "a", content: "a" }]);
  const { config } = buildTestImage([{ tar }, { tar }]);
  const list = [{ Config: "config.json", RepoTags: ["app:v1"], Layers: ["one/layer.tar", "two/layer.tar"] }];
  const archive = buildTar([
    { path: "config.json", content: config.content },
    { path: "one/layer.tar", content: tar },
    { path: "two/layer.tar", type: "2", link: "../one/layer.tar" },
    { path: "manifest.json", content: JSON.stringify(list) },
  ]);
  await writeFile(join(directory.path, "saved.tar"), archive);
  await using store = await openStore(join(directory.path, "store"));
  const [loaded] = await store.load(join(directory.path, "saved.tar"));
  assert.deepEqual(loaded?.references, ["docker.io/library/app:v1"]);
});

test("what is no image archive, or a damaged one, is refused", async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string) => join(directory.path, name);
  await mkdir(at("empty"));
  await writeFile(at("text"), "hello, this is no archive".repeat(100));
  await writeFile(at("other.tar"), buildTar([{ path: "x", content: "x" }]));
  await writeFile(at("cut.tar.gz"), gzipSync(buildTar([{ path: "x", content: "x" }])).subarray(0, 40));
  const escape = JSON.stringify([{ Config: "../../../etc/hostname", RepoTags: null, Layers: [] }]);
  await writeFile(at("escape.tar"), buildTar([{ path: "manifest.json", content: escape }]));
  await using store = await openStore(at("store"));
  for (const name of ["empty", "text", "other.tar", "cut.tar.gz", "escape.tar", "missing"]) {
    await assert.rejects(store.load(at(name)), isError("InvalidArchive"), name);
  }
  await writeLayout(at("layout"), image, "x/y:z");
  await writeFile(join(at("layout"), "blobs", "sha256", image.config.digest.slice(7)), "{}");
  await assert.rejects(store.load(at("layout")), isError("DigestMismatch"));
});
