import { partsNodeNames } from "../block-nodes.ts";
import type { QmpClient } from "../qmp-client.ts";
import { isRecord } from "../qmp-codec.ts";

const partsName = /^(disk\d+)-parts$/;
/** What stands in for the parts, and the number of the descriptor they are read by. */
const hiddenName = /^(disk\d+)-hidden-(\d+)$/;

/**
 * Puts holes of the same size in the place of disks that are made of several files. The monitor does not save a machine
 * that has such a disk open (QEMU 7.2: "the vmdk format does not support live migration"), though nothing of it is part
 * of the state. Only while the guest stands still: it would read zeroes.
 */
export async function hideImages(qmp: QmpClient): Promise<void> {
  for (const { "node-name": name, file, image } of await blockNodes(qmp)) {
    const disk = partsName.exec(String(name))?.[1];
    const descriptor = /^\/dev\/fdset\/(\d+)$/.exec(String(file))?.[1];
    if (disk === undefined || descriptor === undefined || !isRecord(image)) continue;
    const hidden = `${disk}-hidden-${descriptor}`;
    const hole = { driver: "null-co", size: image["virtual-size"], "read-zeroes": true, "read-only": true };
    await qmp.execute("blockdev-add", { "node-name": hidden, ...hole });
    await replaceParts(qmp, disk, hidden);
    // The one of the command line goes by itself, one that was hidden before does not.
    const isLeft = (await blockNodes(qmp)).some((one) => one["node-name"] === name);
    if (isLeft) await qmp.execute("blockdev-del", { "node-name": name });
  }
}

/** Undoes {@link hideImages}, also when another process did it, or began to undo it. Before the guest goes on. */
export async function showImages(qmp: QmpClient): Promise<void> {
  const nodes = await blockNodes(qmp);
  for (const { "node-name": hidden } of nodes) {
    const [, disk, descriptor] = hiddenName.exec(String(hidden)) ?? [];
    if (disk === undefined) continue;
    const { parts } = partsNodeNames(disk);
    const file = { driver: "file", filename: `/dev/fdset/${descriptor}`, "read-only": true };
    if (!nodes.some((one) => one["node-name"] === parts)) {
      await qmp.execute("blockdev-add", { "node-name": parts, driver: "vmdk", "read-only": true, file });
    }
    await replaceParts(qmp, disk, parts);
    await qmp.execute("blockdev-del", { "node-name": hidden });
  }
}

async function replaceParts(qmp: QmpClient, disk: string, file: string): Promise<void> {
  const { above } = partsNodeNames(disk);
  await qmp.execute("blockdev-reopen", { options: [{ driver: "raw", "node-name": above, "read-only": true, file }] });
}

async function blockNodes(qmp: QmpClient): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const answer = await qmp.execute("query-named-block-nodes", { flat: true });
  return Array.isArray(answer) ? answer.filter(isRecord) : [];
}
