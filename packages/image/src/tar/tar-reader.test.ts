import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { link, mkdir, open, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { buildTar, entryBlocks, header, padded, sealHeader } from "../testing/tar-builder.ts";
import { type TarEntry, TarFormatError } from "./tar-entry.ts";
import { TarReader } from "./tar-reader.ts";

interface Read {
  readonly entry: TarEntry;
  readonly content: Buffer;
}

/** Reads an archive in chunks of `chunkBytes`; contents are expanded, so keep sparse files small. */
function readTar(archive: Buffer, chunkBytes = archive.length): readonly Read[] {
  const found: Read[] = [];
  const reader = new TarReader({
    entry: (entry) => found.push({ entry, content: Buffer.alloc(entry.sizeBytes) }),
    data: (bytes, offset) => found.at(-1)?.content.set(bytes, offset),
  });
  for (let at = 0; at < archive.length; at += chunkBytes) reader.push(archive.subarray(at, at + chunkBytes));
  reader.finish();
  return found;
}

async function makeTree(root: string): Promise<void> {
  await mkdir(join(root, "dir", "n".repeat(200), "m".repeat(120)), { recursive: true });
  await writeFile(join(root, "dir", "n".repeat(200), "m".repeat(120), "deep"), "deep content");
  await writeFile(join(root, "empty"), "");
  await writeFile(join(root, "plain"), Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251)));
  await link(join(root, "plain"), join(root, "zlinked"));
  await symlink("t".repeat(300), join(root, "symbolic"));
  const sparse = await open(join(root, "sparse"), "w");
  for (let block = 0; block < 60; block++) await sparse.write(`block ${block}`, block * 16384);
  await sparse.truncate(1024 * 1024);
  await sparse.close();
}

const sparseFormats = ["--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"];
const formats = [["--format=gnu"], ...sparseFormats.map((version) => ["--format=posix", version])];

for (const format of formats) {
  test(`what GNU tar ${format.join(" ")} writes is read back, whatever the chunks`, async () => {
    await using directory = await temporaryDirectory();
    const tree = join(directory.path, "tree");
    await mkdir(tree);
    await makeTree(tree);
    const path = join(directory.path, "a.tar");
    await runCommand("tar", ["-C", tree, ...format, "--sparse", "--sort=name", "-cf", path, "."]);
    const archive = Buffer.concat(await Array.fromAsync(createReadStream(path)));
    const whole = readTar(archive);
    const content = (name: string) => whole.find(({ entry }) => entry.path === name)?.content;
    const expected = await runCommand("sha256sum", [join(tree, "sparse")]);
    const { createHash } = await import("node:crypto");
    const sparse = content("./sparse");
    assert.ok(sparse !== undefined);
    assert.equal(createHash("sha256").update(sparse).digest("hex"), expected.stdout.slice(0, 64));
    assert.equal(content(`./dir/${"n".repeat(200)}/${"m".repeat(120)}/deep`)?.toString(), "deep content");
    assert.equal(whole.find(({ entry }) => entry.path === "./symbolic")?.entry.linkPath, "t".repeat(300));
    assert.equal(whole.find(({ entry }) => entry.path === "./zlinked")?.entry.type, "hardLink");
    for (const chunkBytes of [1, 511, 513, 4096]) assert.deepEqual(readTar(archive, chunkBytes), whole);
  });
}

test("PAX records keep binary attributes, nanoseconds, negative times and large numbers", () => {
  const value = Buffer.from([1, 0, 0, 2, 0xff, 0xfe, 0x0a, 0x3d, 0x80]);
  const pax = {
    "SCHILY.xattr.security.capability": value,
    "SCHILY.xattr.user.empty": "",
    mtime: "-1.250000001",
    uid: "4000000000",
    path: Buffer.from("caf\u00e9", "latin1"),
  };
  const [read] = readTar(buildTar([{ path: "x", content: "abc", pax }]));
  assert.ok(read !== undefined);
  assert.equal(read.entry.path, "caf\u00e9");
  assert.equal(read.entry.uid, 4_000_000_000);
  assert.equal(read.entry.mtimeSeconds, -2);
  assert.equal(read.entry.mtimeNanoseconds, 749_999_999);
  assert.deepEqual(read.entry.extendedAttributes, [
    { name: "security.capability", value: Uint8Array.from(value) },
    { name: "user.empty", value: new Uint8Array() },
  ]);
});

test("base-256 numbers are read, negative ones too", () => {
  const [read] = readTar(buildTar([{ path: "x", uid: 3_000_000, mtimeSeconds: -5 }]));
  assert.equal(read?.entry.uid, 3_000_000);
  assert.equal(read?.entry.mtimeSeconds, -5);
});

test("links and directories have no data, whatever their header says", () => {
  const found = readTar(
    buildTar([
      { path: "l", type: "2", link: "t", sizeBytes: 5000 },
      { path: "f", content: "abc" },
    ]),
  );
  assert.deepEqual(
    found.map(({ entry }) => entry.path),
    ["l", "f"],
  );
});

test("a missing end mark is forgiven, a cut entry is not", () => {
  const entry = Buffer.concat(entryBlocks({ path: "x", content: Buffer.alloc(3000, 1) }));
  assert.equal(readTar(entry).length, 1);
  for (const cut of [1, 511, 600, 3000, 3511]) assert.throws(() => readTar(entry.subarray(0, cut)), TarFormatError);
  const longName = Buffer.concat([header({ path: "L", type: "L" }, 10), padded(Buffer.from("long name\0"))]);
  assert.throws(() => readTar(longName), TarFormatError);
});

test("damaged archives are refused", () => {
  const wrongSum = buildTar([{ path: "x" }]);
  wrongSum[0] = 0x79;
  assert.throws(() => readTar(wrongSum), /checksum/);
  assert.throws(() => readTar(buildTar([{ path: "x", type: "Z" }])), /unknown type/);
  assert.throws(() => readTar(header({ path: "L", type: "L" }, 2 ** 30)), /larger than 1 MiB/);
  assert.throws(() => readTar(buildTar([{ path: "x", sizeBytes: -1 }])), /negative/);
  for (const body of ["5 a=b\n", "99 path=x\n", "path=x\n", "10 path=xyz"]) {
    const archive = Buffer.concat([header({ path: "p", type: "x" }, body.length), padded(Buffer.from(body))]);
    assert.throws(() => readTar(archive), TarFormatError, body);
  }
  for (const map of ["0,5,3,5", "5,10", "0,11", "0,4,8,4", "0,5,5"]) {
    const pax = { "GNU.sparse.size": "10", "GNU.sparse.map": map };
    assert.throws(() => readTar(buildTar([{ path: "s", content: "0123456789", pax }])), TarFormatError, map);
  }
});

test("a sparse map whose number does not end is refused at once, not gathered", () => {
  const pax = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1" };
  const reader = new TarReader({ entry: () => {}, data: () => {} });
  for (const block of entryBlocks({ path: "x", pax, sizeBytes: 2 ** 40 })) reader.push(block);
  assert.throws(() => reader.push(Buffer.alloc(512, "1")), TarFormatError);
});

test("a sparse file cannot have a negative size", () => {
  const block = header({ path: "x", type: "S" }, 0);
  block.fill(0xff, 483, 495);
  sealHeader(block);
  assert.throws(() => readTar(Buffer.concat([block, Buffer.alloc(1024)])), /negative/);
});

test("a header full of attributes takes time in proportion to its size", () => {
  const pax = Object.fromEntries(Array.from({ length: 30_000 }, (_, index) => [`SCHILY.xattr.user.${index}`, ""]));
  const startMs = performance.now();
  const [read] = readTar(Buffer.concat([...entryBlocks({ path: "x", pax }), Buffer.alloc(1024)]));
  assert.equal(read?.entry.extendedAttributes.length, 30_000);
  // A tenth of a second; comparing each with all others takes more than twenty.
  assert.ok(performance.now() - startMs < 10_000);
});
