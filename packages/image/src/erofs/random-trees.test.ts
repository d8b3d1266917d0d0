import assert from "node:assert/strict";
import { chmod, chown, link, lstat, lutimes, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import fc from "fast-check";
import { buildDisk } from "../testing/build-disk.ts";
import { mountDisk } from "../testing/mounted-disk.ts";
import { buildTar, type TarSpec } from "../testing/tar-builder.ts";
import { listTree } from "../testing/tree-listing.ts";

const skip = process.getuid?.() !== 0 && "mounting needs root";

/** Few names, so that layers meet; one long, so that directories have several blocks. */
const name = fc.constantFrom("a", "b", "x", "!", "zz", `long-${"n".repeat(240)}`);
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const metadata = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.constantFrom(0, 1, 65_536, 4_000_000_000),
  mtimeSeconds: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
});
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("file" as const), path, metadata, size: fc.nat(9000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("directory" as const), path, metadata }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("symlink" as const), path, metadata, target: path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("hardLink" as const), path, target: path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("whiteout" as const), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("opaque" as const), path }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Applies layers to a real directory by system calls; what a real directory could not do is left out of the layer. */
class Oracle {
  readonly #root: string;
  /** Times of directories are set at the end, since every entry made in them changes them. */
  readonly #directoryTimes = new Map<string, number>();

  constructor(root: string) {
    this.#root = root;
  }

  async apply(operations: readonly Operation[]): Promise<readonly TarSpec[]> {
    const specs: TarSpec[] = [];
    for (const item of operations) {
      const target = join(this.#root, item.path);
      if (!(await this.#hasRealParents(item.path))) continue;
      if (item.kind === "whiteout") {
        await this.#remove(item.path);
        specs.push({ path: join(dirname(item.path), `.wh.${item.path.split("/").at(-1)}`) });
      } else if (item.kind === "opaque" && (await kindOf(target)) === "directory") {
        for (const child of await readdir(target)) await this.#remove(join(item.path, child));
        specs.push({ path: `${item.path}/.wh..wh..opq` });
      }
    }
    const whiteouts = specs.splice(0);
    for (const item of operations) {
      if (!(await this.#hasRealParents(item.path))) continue;
      const spec = await this.#make(item);
      if (spec !== undefined) specs.push(spec);
    }
    // In a real layer they come anywhere; here last, which is where getting it wrong shows most.
    return [...specs, ...whiteouts];
  }

  async finish(): Promise<void> {
    await this.#setTimes("");
  }

  async #setTimes(relative: string): Promise<void> {
    for (const child of await readdir(join(this.#root, relative), { withFileTypes: true })) {
      if (child.isDirectory()) await this.#setTimes(join(relative, child.name));
    }
    const time = this.#directoryTimes.get(relative) ?? 0;
    await setTime(join(this.#root, relative), time);
  }

  async #hasRealParents(relative: string): Promise<boolean> {
    for (let parent = dirname(relative); parent !== "."; parent = dirname(parent)) {
      const kind = await kindOf(join(this.#root, parent));
      if (kind !== "directory" && kind !== undefined) return false;
    }
    return true;
  }

  async #make(item: Operation): Promise<TarSpec | undefined> {
    if (item.kind === "whiteout" || item.kind === "opaque") return undefined;
    const target = join(this.#root, item.path);
    if (item.kind === "hardLink") {
      const source = join(this.#root, item.target);
      const isFile = (await this.#hasRealParents(item.target)) && (await kindOf(source)) === "file";
      if (!isFile || item.target === item.path) return undefined;
      // The target must not go with what the link replaces.
      if (item.target.startsWith(`${item.path}/`)) return undefined;
      await this.#clear(item.path);
      await link(source, target);
      return { path: item.path, type: "1", link: item.target };
    }
    const { mode, uid, mtimeSeconds } = item.metadata;
    const common = { path: item.path, mode, uid, mtimeSeconds };
    if (item.kind === "directory") {
      if ((await kindOf(target)) !== "directory") {
        await this.#clear(item.path);
        await mkdir(target);
      }
      await chown(target, uid, 0);
      await chmod(target, mode);
      this.#directoryTimes.set(item.path, mtimeSeconds);
      return { ...common, type: "5" };
    }
    await this.#clear(item.path);
    if (item.kind === "symlink") {
      await symlink(item.target, target);
      await setTime(target, mtimeSeconds);
      return { ...common, uid: 0, type: "2", link: item.target };
    }
    const content = Buffer.alloc(item.size, item.size % 7);
    await writeFile(target, content);
    await chown(target, uid, 0);
    await chmod(target, mode);
    await setTime(target, mtimeSeconds);
    return { ...common, content };
  }

  async #remove(relative: string): Promise<void> {
    await rm(join(this.#root, relative), { recursive: true, force: true });
    for (const known of this.#directoryTimes.keys()) {
      if (known === relative || known.startsWith(`${relative}/`)) this.#directoryTimes.delete(known);
    }
  }

  async #clear(relative: string): Promise<void> {
    await this.#remove(relative);
    const parent = join(this.#root, dirname(relative));
    const made = await mkdir(parent, { recursive: true });
    // A set-group-id directory passes the bit on to what is made in it; an image's implied parents have 0755.
    if (made === undefined) return;
    for (let path = parent; path.length >= made.length; path = dirname(path)) await chmod(path, 0o755);
  }
}

/** As a date: Node takes a negative number for now. */
async function setTime(path: string, seconds: number): Promise<void> {
  const date = new Date(seconds * 1000);
  await lutimes(path, date, date);
}

async function kindOf(path: string): Promise<"file" | "directory" | "symlink" | undefined> {
  const status = await lstat(path).catch(() => undefined);
  if (status === undefined) return undefined;
  if (status.isDirectory()) return "directory";
  return status.isFile() ? "file" : "symlink";
}

test("random layers give the tree that system calls give", { skip }, async () => {
  const layers = fc.array(fc.array(operation, { maxLength: 25 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(layers, async (drawn) => {
      await using directory = await temporaryDirectory();
      const root = join(directory.path, "oracle");
      await mkdir(root, { mode: 0o755 });
      const oracle = new Oracle(root);
      const tars: Buffer[] = [];
      for (const operations of drawn) tars.push(buildTar(await oracle.apply(operations)));
      await oracle.finish();
      await using mounted = await mountDisk(await buildDisk(tars, join(directory.path, "disk")));
      assert.equal(await listTree(mounted.root), await listTree(root));
    }),
    { numRuns: 40 },
  );
});
