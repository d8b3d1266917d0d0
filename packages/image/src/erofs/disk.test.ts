import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { link, mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { buildDisk } from "../testing/build-disk.ts";
import { mountDisk } from "../testing/mounted-disk.ts";
import { buildTar, type TarSpec } from "../testing/tar-builder.ts";
import { listTree } from "../testing/tree-listing.ts";

const skip = process.getuid?.() !== 0 && "mounting needs root";

/** A tree with everything a layer can hold, made by the host's own tools. */
async function makeOddTree(root: string): Promise<void> {
  await mkdir(join(root, "many"), { recursive: true });
  await mkdir(join(root, "empty-dir"));
  for (let number = 0; number < 700; number++) {
    await writeFile(join(root, "many", `${"n".repeat(number % 250)}-${number}`), `file ${number}`);
  }
  await writeFile(join(root, "plain"), Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 251)));
  await writeFile(join(root, "block"), Buffer.alloc(4096, 1));
  await writeFile(join(root, "empty"), "");
  await writeFile(join(root, "zeros"), Buffer.alloc(100_000));
  await link(join(root, "plain"), join(root, "many", "hard link"));
  await writeFile(join(root, "many", "x".repeat(255)), "longest name");
  // Names that are no UTF-8, and names that sort before `.`.
  await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x80, 0xff, 0x41])]), "bytes");
  await writeFile(join(root, "!bang"), "");
  await writeFile(join(root, "-dash"), "");
  for (const length of [1, 60, 3000, 4000, 4095]) await symlink("l".repeat(length), join(root, `link-${length}`));
  const sparse = await open(join(root, "sparse"), "w");
  await sparse.write("begin");
  await sparse.write("end", 5 * 1024 ** 3);
  await sparse.close();
  const script = `cd "$1"
    mknod char c 5 300; mknod disk b 259 70000; mkfifo fifo
    chown 4294967290:65537 plain; chmod 6755 block; chmod 4711 empty; chmod 1777 empty-dir
    setfattr -n user.long -v "$(head -c 3000 /dev/zero | tr '\\0' x)" zeros
    setfattr -n user.a -v 1 plain; setfattr -n trusted.b -v 2 plain; setfattr -n user.empty plain
    setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 empty
    setfattr -h -n trusted.link -v here link-60
    setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000000ffffffff block
    setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff04000500ffffffff20000500ffffffff empty-dir
    touch -d '1960-02-03 04:05:06.123456789' empty; touch -d '2100-01-01 00:00:00.5' zeros
    touch -h -d '1999-12-31 23:59:59.999999999' link-1; touch -d @1700000000.000000001 many empty-dir .`;
  await runCommand("bash", ["-ec", script, "bash", root]);
}

/** As GNU tar writes it, with everything. */
async function tarOf(root: string): Promise<Buffer> {
  const directory = await mkdtemp(join(root, "..", "tar-"));
  const path = join(directory, "layer.tar");
  const flags = ["--xattrs", "--xattrs-include=*", "--sparse", "--format=posix", "--numeric-owner", "--sort=name"];
  await runCommand("tar", ["-C", root, ...flags, "--pax-option=delete=atime,delete=ctime", "-cf", path, "."]);
  const content = await readFile(path);
  await rm(directory, { recursive: true });
  return content;
}

test("a mounted disk equals the tree its layer was made from, in all the kernel shows", { skip }, async () => {
  await using directory = await temporaryDirectory();
  const tree = join(directory.path, "tree");
  await mkdir(tree);
  await makeOddTree(tree);
  const parts = await buildDisk([await tarOf(tree)], join(directory.path, "disk"));
  await using mounted = await mountDisk(parts);
  assert.equal(await listTree(mounted.root), await listTree(tree));
});

test("layers are applied as the OCI specification says", { skip }, async () => {
  await using directory = await temporaryDirectory();
  const lower: readonly TarSpec[] = [
    { path: "./", mode: 0o750, mtimeSeconds: 5 },
    { path: "etc/", mode: 0o700 },
    { path: "etc/gone", content: "1" },
    { path: "etc/kept", content: "2" },
    { path: "opaque/" },
    { path: "opaque/old", content: "3" },
    { path: "opaque/sub/" },
    { path: "opaque/sub/old", content: "4" },
    { path: "file-to-dir", content: "5" },
    { path: "dir-to-file/" },
    { path: "dir-to-file/x", content: "6" },
    { path: "tree/" },
    { path: "tree/a/" },
    { path: "tree/a/b", content: "7" },
    { path: "usr/lib/" },
    { path: "lib", type: "2", link: "usr/lib" },
    { path: "abs", type: "2", link: "/usr/../../usr" },
    { path: "shared", content: "8", mode: 0o600 },
  ];
  const upper: readonly TarSpec[] = [
    { path: "etc/", mode: 0o755, mtimeSeconds: 77 },
    { path: "etc/.wh.gone" },
    // A whiteout hides what is below only: this layer's own file stays, in whichever order they come.
    { path: "etc/new", content: "new" },
    { path: "etc/.wh.new" },
    { path: "opaque/new", content: "new" },
    { path: "opaque/.wh..wh..opq" },
    { path: "file-to-dir/inside", content: "implied parents replace a lower file" },
    { path: "dir-to-file", content: "now a file" },
    { path: ".wh.tree" },
    { path: "lib/through-link", content: "in usr/lib" },
    { path: "/abs/absolute", content: "in usr" },
    { path: "other-name", type: "1", link: "/shared" },
    { path: "twice", content: "first" },
    { path: "twice", content: "second" },
    { path: "a/../b/./c//d", content: "normal" },
    { path: ".wh..wh.plnk/", type: "5" },
    { path: ".wh..wh.plnk/1.2", content: "AUFS" },
    { path: ".wh.never-was" },
  ];
  const parts = await buildDisk([buildTar(lower), buildTar(upper), buildTar([])], join(directory.path, "disk"));
  await using mounted = await mountDisk(parts);
  const { stdout } = await runCommand("bash", [
    "-c",
    "cd $0; find . -printf '%y %m %n %P %l\n' | sort -k4",
    mounted.root,
  ]);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.trimEnd()),
    [
      "d 750 7  ",
      "l 777 1 abs /usr/../../usr",
      "d 755 3 b",
      "d 755 2 b/c",
      "f 644 1 b/c/d",
      "f 644 1 dir-to-file",
      "d 755 2 etc",
      "f 644 1 etc/kept",
      "f 644 1 etc/new",
      "d 755 2 file-to-dir",
      "f 644 1 file-to-dir/inside",
      "l 777 1 lib usr/lib",
      "d 755 2 opaque",
      "f 644 1 opaque/new",
      "f 600 2 other-name",
      "f 600 2 shared",
      "f 644 1 twice",
      "d 755 3 usr",
      "f 644 1 usr/absolute",
      "d 755 2 usr/lib",
      "f 644 1 usr/lib/through-link",
    ].map((line) => line.trimEnd()),
  );
  assert.equal(await readFile(join(mounted.root, "twice"), "utf8"), "second");
  assert.equal(await readFile(join(mounted.root, "other-name"), "utf8"), "8");
});

test("attributes overlayfs would obey are left out", { skip }, async () => {
  await using directory = await temporaryDirectory();
  const pax = {
    "SCHILY.xattr.trusted.overlay.opaque": "y",
    "SCHILY.xattr.user.overlay.redirect": "/x",
    "SCHILY.xattr.com.apple.quarantine": "z",
    "SCHILY.xattr.user.kept": "k",
  };
  const parts = await buildDisk([buildTar([{ path: "d/", pax }])], join(directory.path, "disk"));
  await using mounted = await mountDisk(parts);
  const { stdout } = await runCommand("getfattr", ["-d", "-m", "-", "--absolute-names", join(mounted.root, "d")]);
  assert.match(stdout, /^# file: .*\nuser\.kept="k"\n\n$/);
});

test("a layer of 100,000 files becomes a disk on which each is found", { skip }, async () => {
  await using directory = await temporaryDirectory();
  const specs: TarSpec[] = [];
  for (let number = 0; number < 100_000; number++) {
    // One directory of 50,000, the others spread.
    const parent = number % 2 === 0 ? "big" : `d${number % 400}`;
    specs.push({ path: `${parent}/file-${number}`, content: `${number}`, mode: number % 0o1000 });
  }
  const parts = await buildDisk([buildTar(specs)], join(directory.path, "disk"));
  await using mounted = await mountDisk(parts);
  const { stdout } = await runCommand("bash", ["-c", "find $0 -type f -printf x | wc -c", mounted.root]);
  assert.equal(stdout.trim(), "100000");
  for (let number = 0; number < 100_000; number += 997) {
    const spec = specs[number];
    assert.equal(await readFile(join(mounted.root, spec?.path ?? ""), "utf8"), `${number}`);
  }
});

test("the same layers always give the same bytes", async () => {
  await using directory = await temporaryDirectory();
  const specs: TarSpec[] = Array.from({ length: 300 }, (_, number) => ({
    path: `d${number % 7}/f${number}`,
    content: "x".repeat(number * 13),
    pax: { "SCHILY.xattr.user.b": "1", "SCHILY.xattr.user.a": "2" },
  }));
  const hashes = new Set<string>();
  for (const name of ["one", "two"]) {
    const hash = createHash("sha256");
    const layers = [buildTar(specs), buildTar([{ path: "d1/.wh.f1" }, { path: "top", content: "t" }])];
    for (const part of await buildDisk(layers, join(directory.path, name))) hash.update(await readFile(part.path));
    hashes.add(hash.digest("hex"));
  }
  assert.equal(hashes.size, 1);
});

test("an image without layers is an empty root", { skip }, async () => {
  await using directory = await temporaryDirectory();
  await using mounted = await mountDisk(await buildDisk([], join(directory.path, "disk")));
  const { stdout } = await runCommand("find", [mounted.root, "-printf", "%y %m %n\n"]);
  assert.equal(stdout, "d 755 2\n");
});
