import { readdir, readFile } from "node:fs/promises";

/** Private_Clean and Private_Dirty in a `smaps` or `smaps_rollup`, summed up. */
export function privateBytes(smaps: string): number {
  let kibibytes = 0;
  for (const [, size = "0"] of smaps.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)) kibibytes += Number(size);
  return kibibytes * 1024;
}

/**
 * QEMU's translation cache in a `smaps`: what is private of its anonymous mappings that may be both written and executed.
 * There are several, one per emulated thread. Undefined when there is none, as without emulation.
 */
export function translationCacheBytes(smaps: string): number | undefined {
  const mappings = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const writableCode = mappings.filter((one) => /^[0-9a-f]+-[0-9a-f]+ rwx[ps] [0-9a-f]+ [0-9a-f:]+ 0\s/.test(one));
  if (writableCode.length === 0) return undefined;
  return writableCode.reduce((sum, one) => sum + privateBytes(one), 0);
}

/** Private memory of some processes; one that has just ended counts nothing. */
export async function privateBytesOf(pids: readonly number[]): Promise<number> {
  const texts = await Promise.all(
    pids.map(async (pid) => await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "")),
  );
  return texts.reduce((sum, text) => sum + privateBytes(text), 0);
}

/** A process and all that descend from it, the process first. */
export async function processTree(root: number): Promise<readonly number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    // The name of the program, in parentheses, may hold anything.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}
