import { readdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@isopod/base";
import { namespaceDirectory, namespacePrefix } from "./names.ts";

/** `NSFS_MAGIC` of linux/magic.h: the file system a bound namespace shows. */
const nsfsMagic = 0x6e736673;

export function namespacePath(namespace: string): string {
  return join(namespaceDirectory, namespace);
}

/**
 * True when the name is bound to a namespace. `ip netns add` killed half-way leaves an empty file behind,
 * which would refuse both use and creation; it is removed here.
 */
export async function namespaceExists(namespace: string): Promise<boolean> {
  try {
    if ((await statfs(namespacePath(namespace))).type === nsfsMagic) return true;
    await rm(namespacePath(namespace), { force: true });
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
  return false;
}

/** Names of the installation's namespaces, also of half-made ones. */
export async function listNamespaces(installation: string): Promise<readonly string[]> {
  try {
    const names = await readdir(namespaceDirectory);
    return names.filter((name) => name.startsWith(namespacePrefix(installation))).toSorted();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
