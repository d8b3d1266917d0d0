import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import type { Image, ImageAccounts } from "../contract.ts";
import { mountDisk } from "../testing/mounted-disk.ts";
import { buildTar, type TarSpec } from "../testing/tar-builder.ts";
import { buildTestImage, writeLayout } from "../testing/test-image.ts";
import { openStore } from "../testing/test-store.ts";

const skip = process.getuid?.() !== 0 && "needs root";
const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:\n";
const group = "root:x:0:\nwww:x:34:\n";
const base: readonly TarSpec[] = [
  { path: "bin/sh", content: "x".repeat(5000) },
  { path: "etc/passwd", content: passwd },
  { path: "etc/group", content: group },
];
/** As long as is kept. */
const longest = "a".repeat(64 * 1024);

interface Case {
  readonly layers: readonly (readonly TarSpec[])[];
  readonly accounts: ImageAccounts | undefined;
}

const cases: Readonly<Record<string, Case>> = {
  "are kept": { layers: [base], accounts: { passwd, group } },
  "are kept when they are in different layers, one of which comes twice": {
    layers: [[{ path: "a", content: "a" }], base, [{ path: "a", content: "a" }], [{ path: "etc/group", content: "g" }]],
    accounts: { passwd, group: "g" },
  },
  "are empty where the image has none": {
    layers: [[{ path: "a", content: "a" }]],
    accounts: { passwd: "", group: "" },
  },
  "are empty in an image without layers": { layers: [], accounts: { passwd: "", group: "" } },
  "are empty when they are": {
    layers: [base, [{ path: "etc/passwd" }, { path: "etc/group" }]],
    accounts: { passwd: "", group: "" },
  },
  "are those of the layer above": {
    layers: [base, [{ path: "etc/passwd", content: "above\n" }]],
    accounts: { passwd: "above\n", group },
  },
  "are gone when the layer above deletes them": {
    layers: [base, [{ path: "etc/.wh.passwd" }]],
    accounts: { passwd: "", group },
  },
  "are gone when the layer above empties /etc": {
    layers: [base, [{ path: "etc/" }, { path: "etc/.wh..wh..opq" }, { path: "etc/group", content: "g" }]],
    accounts: { passwd: "", group: "g" },
  },
  "are gone when the layer above deletes /etc": {
    layers: [base, [{ path: ".wh.etc" }]],
    accounts: { passwd: "", group: "" },
  },
  "come back when a layer deletes them and the next one has them": {
    layers: [base, [{ path: "etc/.wh.passwd" }], [{ path: "etc/passwd", content: "new\n" }]],
    accounts: { passwd: "new\n", group },
  },
  "are found as a hard link to a file of a layer below": {
    layers: [[{ path: "kept", content: passwd }, ...base], [{ path: "etc/group", type: "1", link: "kept" }]],
    accounts: { passwd, group: passwd },
  },
  "are left to the container when /etc is a link": {
    layers: [
      [...base, { path: "real/passwd", content: "r" }],
      [{ path: ".wh.etc" }, { path: "etc", type: "2", link: "real" }],
    ],
    accounts: undefined,
  },
  "are left to the container when one is a link": {
    layers: [base, [{ path: "etc/passwd", type: "2", link: "/etc/group" }]],
    accounts: undefined,
  },
  "are left to the container when one is a directory": {
    layers: [[{ path: "etc/group", content: group }, { path: "etc/passwd/" }]],
    accounts: undefined,
  },
  "are left to the container when one is a device": {
    layers: [base, [{ path: "etc/group", type: "3", major: 1, minor: 5 }]],
    accounts: undefined,
  },
  "are kept up to 64 KiB": {
    layers: [base, [{ path: "etc/group", content: longest }]],
    accounts: { passwd, group: longest },
  },
  "are left to the container when one is longer": {
    layers: [base, [{ path: "etc/group", content: `${longest}a` }]],
    accounts: undefined,
  },
  "are left to the container when one is no text": {
    layers: [base, [{ path: "etc/group", content: Buffer.from([0x61, 0xff, 0x0a]) }]],
    accounts: undefined,
  },
};

async function load(
  directory: string,
  layers: Case["layers"],
): Promise<{ readonly image: Image; readonly at: string }> {
  const at = join(directory, "store");
  const layout = join(directory, "layout");
  await writeLayout(layout, buildTestImage(layers.map((specs) => ({ tar: buildTar(specs) }))), "reg.io/one:v1");
  await using store = await openStore(at);
  const [image] = await store.load(layout);
  assert.ok(image !== undefined);
  return { image, at };
}

for (const [name, { layers, accounts }] of Object.entries(cases)) {
  test(`account files ${name}`, { skip }, async () => {
    await using directory = await temporaryDirectory();
    const { image, at } = await load(directory.path, layers);
    assert.deepEqual(image.accounts, accounts);
    await using store = await openStore(at);
    assert.deepEqual((await store.get("reg.io/one:v1"))?.accounts, accounts);
    if (accounts === undefined) return;
    // What the kernel shows of the disk is what was kept.
    await using mounted = await mountDisk(image.disk);
    for (const file of ["passwd", "group"] as const) {
      const shown = await readFile(join(mounted.root, "etc", file), "utf8").catch(() => "");
      assert.equal(accounts[file], shown);
    }
  });
}

test("an image that was stored before account files were kept, or with damaged ones, stays and has none", async () => {
  await using directory = await temporaryDirectory();
  const { at } = await load(directory.path, [base]);
  const [name = ""] = await readdir(join(at, "images"));
  const path = join(at, "images", name);
  const { accounts, ...before } = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  assert.deepEqual(accounts, { passwd, group });
  for (const record of [before, { ...before, accounts: { passwd } }, { ...before, accounts: "root" }]) {
    await writeFile(path, JSON.stringify(record));
    await using store = await openStore(at);
    const image = await store.get("reg.io/one:v1");
    assert.ok(image !== undefined && image.accounts === undefined);
  }
});
