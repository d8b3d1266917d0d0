import type { MachineDisk } from "../contract.ts";
import type { MonitorRequest } from "./command-line.ts";
import type { LaunchDescriptor } from "./launch-plan.ts";
import { isRecord } from "./qmp-codec.ts";
import { vmdkDescriptor } from "./vmdk-descriptor.ts";

/** A file below a writable disk, which is only read. */
export interface BackingFile {
  readonly format: "raw" | "qcow2";
  readonly path: string;
}

/** A chain of files as it was written down; undefined when it is none. */
export function parseBacking(value: unknown): readonly BackingFile[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const chain: BackingFile[] = [];
  for (const one of value) {
    if (!isRecord(one) || typeof one["path"] !== "string") return undefined;
    const { format, path } = one;
    if (format !== "raw" && format !== "qcow2") return undefined;
    chain.push({ format, path });
  }
  return chain;
}

/** What may be behind a slot: a tenant's disk, or what a template has in its place. */
export type PluggedDisk =
  | MachineDisk
  /** Zeroes, read-only. The guest keeps its size in a fork, so it is larger than any disk that comes in its place. */
  | { readonly type: "placeholder"; readonly serial: string; readonly sizeBytes: number }
  /** A file, read-only, that {@link plugParts} put a disk in the place of. */
  | { readonly type: "socket"; readonly serial: string; readonly path: string };

export type DescriptorSource = LaunchDescriptor extends infer One
  ? One extends unknown
    ? Omit<One, "number">
    : never
  : never;
/** Has something opened for the monitor and returns the number it will have there. */
export type AddDescriptor = (descriptor: DescriptorSource) => number;
export type BlockNode = Readonly<Record<string, unknown>>;

/** The node of several files as one disk, and the one above it: so that it can be taken away for a moment. */
export function partsNodeNames(diskNode: string): { readonly parts: string; readonly above: string } {
  return { parts: `${diskNode}-parts`, above: `${diskNode}-whole` };
}

/**
 * The tree of block nodes of a disk, for `-blockdev`. `backing` replaces what the disk says of its own.
 * An ephemeral disk ends with its machine, so its flushes need not reach the host's disk; others' must.
 */
export function blockNode(
  disk: PluggedDisk,
  name: string,
  add: AddDescriptor,
  options: { readonly isEphemeral: boolean; readonly backing?: readonly BackingFile[] },
): BlockNode {
  const cache = { direct: false, "no-flush": options.isEphemeral };
  switch (disk.type) {
    case "parts":
      return partsNode(disk.parts, name, add);
    case "socket": {
      const file = { driver: "raw", "read-only": true, file: readOnlyFile(add, disk.path) };
      return liftedNode(name, file);
    }
    case "placeholder":
      return { driver: "null-co", size: disk.sizeBytes, "read-zeroes": true, "read-only": true };
    case "qcow2": {
      const own: readonly BackingFile[] =
        disk.backingPath === undefined ? [] : [{ format: "raw", path: disk.backingPath }];
      return {
        driver: "qcow2",
        discard: "unmap",
        cache,
        file: {
          ...fileNode(add({ type: "file", path: disk.path, isWritable: true })),
          discard: "unmap",
          cache,
        },
        backing: backingNode(options.backing ?? own, add),
      };
    }
  }
}

/** The chain, nearest first. Null is not the same as nothing: QEMU must never open what the file's header names. */
function backingNode(chain: readonly BackingFile[], add: AddDescriptor): BlockNode | null {
  const [nearest, ...further] = chain;
  if (nearest === undefined) return null;
  const file = readOnlyFile(add, nearest.path);
  if (nearest.format === "raw") return { driver: "raw", "read-only": true, file };
  return { driver: "qcow2", "read-only": true, file, backing: backingNode(further, add) };
}

type Parts = (MachineDisk & { type: "parts" })["parts"];

function partsNode(parts: Parts, name: string, add: AddDescriptor): BlockNode {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return onePartNode(first, add);
  return liftedNode(name, { ...severalPartsNode(parts, add), "node-name": partsNodeNames(name).parts });
}

function onePartNode(part: Parts[number], add: AddDescriptor): BlockNode {
  return { driver: "raw", "read-only": true, file: readOnlyFile(add, part.path), size: part.sizeBytes };
}

function severalPartsNode(parts: Parts, add: AddDescriptor): BlockNode {
  const extents = parts.map((part) => {
    const number = add({ type: "file", path: part.path, isWritable: false });
    return { path: `/dev/fdset/${number}`, sizeBytes: part.sizeBytes };
  });
  const descriptor = add({ type: "bytes", content: vmdkDescriptor(extents) });
  const file = { ...fileNode(descriptor), "read-only": true };
  return { driver: "vmdk", "read-only": true, file };
}

/** Two nodes above it: the upper one may be given the disk's own name, the lower one be given something else below it. */
function liftedNode(name: string, node: BlockNode): BlockNode {
  const above = { driver: "raw", "node-name": partsNodeNames(name).above, "read-only": true, file: node };
  return { driver: "raw", "read-only": true, file: above };
}

/**
 * What puts a disk of parts in the place of a `socket`'s file, in a monitor that has it under `name`. For a guest that
 * stands still.
 */
export function plugParts(parts: Parts, name: string, add: AddDescriptor): readonly MonitorRequest[] {
  const { parts: severalName, above } = partsNodeNames(name);
  const [first] = parts;
  const added =
    parts.length === 1 && first !== undefined
      ? { ...onePartNode(first, add), "node-name": `${name}-image` }
      : { ...severalPartsNode(parts, add), "node-name": severalName };
  const options = [{ driver: "raw", "node-name": above, "read-only": true, file: added["node-name"] }];
  return [
    { command: "blockdev-add", args: added },
    { command: "blockdev-reopen", args: { options } },
  ];
}

function readOnlyFile(add: AddDescriptor, path: string): BlockNode {
  return { ...fileNode(add({ type: "file", path, isWritable: false })), "read-only": true };
}

function fileNode(descriptor: number): BlockNode {
  return { driver: "file", filename: `/dev/fdset/${descriptor}` };
}
