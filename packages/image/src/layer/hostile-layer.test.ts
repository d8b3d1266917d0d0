import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { temporaryDirectory } from "@isopod/base";
import { digestOf } from "../digest.ts";
import { buildMetadata } from "../erofs/build-metadata.ts";
import { type ImageErrorCode, isImageError } from "../image-error.ts";
import { buildDisk, chunksOf } from "../testing/build-disk.ts";
import { buildTar, type TarSpec } from "../testing/tar-builder.ts";
import { convertLayer } from "./convert-layer.ts";
import { defaultLayerLimits, type LayerLimits } from "./layer-entry.ts";

async function refuses(specs: readonly TarSpec[], message: RegExp): Promise<void> {
  await using directory = await temporaryDirectory();
  await assert.rejects(buildDisk([buildTar(specs)], join(directory.path, "disk")), (error) => {
    assert.ok(isImageError(error, "InvalidLayer"), String(error));
    assert.match(error.message, message);
    assert.match(error.message, /layer 1 of test/);
    return true;
  });
}

const linkLoop: readonly TarSpec[] = [
  { path: "a", type: "2", link: "b" },
  { path: "b", type: "2", link: "a" },
  { path: "a/x", content: "1" },
];

const refused: readonly (readonly [string, readonly TarSpec[], RegExp])[] = [
  ["a name that climbs out", [{ path: "../evil", content: "x" }], /"\.\.\/evil".*climbs out/],
  ["a name that climbs out in the middle", [{ path: "a/../../evil" }], /climbs out/],
  ["a hard link that climbs out", [{ path: "l", type: "1", link: "../../etc/shadow" }], /"l".*climbs out/],
  ["a hard link to nothing", [{ path: "l", type: "1", link: "/etc/shadow" }], /"\/?etc\/shadow", which no layer has/],
  ["a hard link to a directory", [{ path: "d/" }, { path: "l", type: "1", link: "d" }], /to the directory "d"/],
  [
    "a hard link through a link out of the image",
    [
      { path: "s", type: "2", link: "/../../../.." },
      { path: "l", type: "1", link: "s/etc/passwd" },
    ],
    /no layer has/,
  ],
  [
    "a parent that is a file of the same layer",
    [{ path: "f", content: "x" }, { path: "f/g" }],
    /parent is not a directory/,
  ],
  ["links in a circle", linkLoop, /too many symbolic links/],
  ["a whiteout of the parent", [{ path: "a/.wh..." }], /hides no name/],
  ["a whiteout of nothing", [{ path: "a/.wh." }], /hides no name/],
  [
    "a root that is no directory",
    [
      { path: "./", type: "0" },
      { path: ".", type: "2", link: "x" },
    ],
    /root of an image/,
  ],
  ["a name too long", [{ path: "n".repeat(256) }], /longer than 255/],
  ["a path too long", [{ path: "n/".repeat(10_000) }], /longer than 16384/],
  ["a link text too long", [{ path: "l", type: "2", link: "x".repeat(4096) }], /longer than 4095/],
  ["an empty link text", [{ path: "l", type: "2" }], /target is empty/],
  ["a NUL in a name", [{ path: "x", pax: { path: "a\0b" } }], /NUL/],
  ["an owner out of range", [{ path: "x", uid: 2 ** 32 }], /owner/],
  ["a negative owner", [{ path: "x", uid: -1 }], /owner/],
  ["a device out of range", [{ path: "x", type: "3", major: 4096 }], /device/],
  ["an attribute too large", [{ path: "x", pax: { "SCHILY.xattr.user.x": "v".repeat(65_536) } }], /65535/],
  [
    "a sparse file too large",
    [{ path: "x", pax: { "GNU.sparse.size": String(2 ** 50), "GNU.sparse.map": "0,0" } }],
    /larger than/,
  ],
];

for (const [what, specs, message] of refused) test(`${what} is refused`, async () => await refuses(specs, message));

test("writing through a link stays inside the image", async () => {
  await using directory = await temporaryDirectory();
  const specs: readonly TarSpec[] = [
    { path: "out", type: "2", link: "../../../../../../tmp" },
    { path: "out/evil", content: "x" },
  ];
  await buildDisk([buildTar(specs)], join(directory.path, "disk"));
  assert.deepEqual((await readdir(join(directory.path, "disk"))).toSorted(), ["0.data", "0.index", "metadata.erofs"]);
});

async function convert(
  content: Buffer,
  tar: Buffer,
  options: { readonly digest?: Buffer; readonly limits?: Partial<LayerLimits> } = {},
) {
  await using directory = await temporaryDirectory();
  return await convertLayer(chunksOf(content), {
    layerName: "layer 1 of test",
    digest: digestOf(options.digest ?? content),
    diffId: digestOf(tar),
    dataPath: join(directory.path, "data"),
    indexPath: join(directory.path, "index"),
    limits: { ...defaultLayerLimits, ...options.limits },
  });
}

const isError = (code: ImageErrorCode) => (error: unknown) => isImageError(error, code) || assert.fail(String(error));

test("wrong digests are found, the compressed one first", async () => {
  const tar = buildTar([{ path: "x", content: Buffer.alloc(300_000, 7) }]);
  const layer = gzipSync(tar);
  await convert(layer, tar);
  await assert.rejects(convert(layer, Buffer.from("another archive")), isError("DigestMismatch"));
  const damaged = Buffer.from(layer);
  damaged[100] = (damaged[100] ?? 0) ^ 0xff;
  await assert.rejects(convert(damaged, tar, { digest: layer }), isError("DigestMismatch"));
  await assert.rejects(convert(damaged, tar), isError("InvalidLayer"));
});

test("bytes behind the compressed stream count for the digest", async () => {
  const tar = buildTar([{ path: "x", content: "abc" }]);
  const layer = Buffer.concat([gzipSync(tar), Buffer.alloc(200_000)]);
  await convert(layer, tar);
  await assert.rejects(convert(layer, tar, { digest: gzipSync(tar) }), isError("DigestMismatch"));
});

test("a truncated layer is refused, compressed or not", async () => {
  const tar = buildTar([{ path: "x", content: Buffer.alloc(100_000, 3) }]);
  const half = tar.subarray(0, 50_000);
  await assert.rejects(convert(gzipSync(tar).subarray(0, 60), tar), isError("InvalidLayer"));
  await assert.rejects(convert(half, half), isError("InvalidLayer"));
  await assert.rejects(convert(gzipSync(half), half), isError("InvalidLayer"));
});

test("limits on size and entries hold", async () => {
  const tar = buildTar([{ path: "a", content: Buffer.alloc(9000) }, { path: "b" }]);
  await assert.rejects(convert(gzipSync(tar), tar, { limits: { maxArchiveBytes: 5000 } }), isError("InvalidLayer"));
  await assert.rejects(convert(tar, tar, { limits: { maxEntries: 1 } }), isError("InvalidLayer"));
  await assert.rejects(convert(tar, tar, { limits: { maxBlobBytes: 8192 } }), isError("InvalidLayer"));
});

test("attributes cannot make the index, which is in memory, grow without bound", async () => {
  const pax = { "SCHILY.xattr.user.x": "v".repeat(65_535) };
  const tar = buildTar(Array.from({ length: 40 }, (_, index) => ({ path: `f${index}`, pax })));
  await convert(gzipSync(tar), tar);
  const limits = { maxIndexBytes: 1024 * 1024 };
  await assert.rejects(convert(gzipSync(tar), tar, { limits }), isError("InvalidLayer"));
});

test("the indexes of all layers together are bounded", async () => {
  await using directory = await temporaryDirectory();
  await buildDisk([buildTar([{ path: "a" }]), buildTar([{ path: "b" }])], directory.path);
  const layers = [0, 1].map((number) => {
    const path = join(directory.path, `${number}`);
    return { name: "layer", indexPath: `${path}.index`, dataPath: `${path}.data` };
  });
  const build = (maxIndexBytes: number) =>
    buildMetadata({
      imageName: "test",
      layers,
      uuid: Buffer.alloc(16),
      outputPath: join(directory.path, `bound-${maxIndexBytes}`),
      maxIndexBytes,
    });
  build(1000);
  assert.throws(() => build(120), isError("InvalidLayer"));
});
