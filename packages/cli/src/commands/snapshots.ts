import { humanBytes, printTable, resources, type Snapshot } from "@isopod/api";
import { systemClock } from "@isopod/base";
import { type GlobalOptions, openContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { catchInterruption, interruptedStatus } from "../interruption.ts";
import { deleteAndWait } from "../object-wait.ts";
import { formatTable, note, print, printJson } from "../output.ts";
import { takeSnapshot } from "../take-snapshot.ts";

export interface SnapshotOptions extends GlobalOptions {
  readonly name?: string;
}

/** `isopod snapshot POD`: keeps a running instance as it is now; Ctrl-C cancels it. */
export async function snapshot(podName: string, options: SnapshotOptions): Promise<number> {
  using context = await openContext(options);
  using stop = catchInterruption();
  let taken: Snapshot;
  try {
    taken = await takeSnapshot(context, podName, options.name, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    note(`\nisopod: interrupted; no snapshot is kept, ${podName} runs on`);
    return interruptedStatus;
  }
  if (context.isJson) printJson(taken);
  else {
    print(taken.metadata.name);
    note(describeSnapshot(taken));
  }
  return 0;
}

function describeSnapshot({ spec, status }: Snapshot): string {
  const size = status?.sizeBytes === undefined ? "" : `${humanBytes(status.sizeBytes)}, `;
  const pause =
    status?.pauseMillis === undefined ? "" : `; ${spec.podName} stood still for ${Math.ceil(status.pauseMillis)} ms`;
  return `${size}on node ${status?.nodeName ?? ""}${pause}`;
}

export interface SnapshotListOptions extends GlobalOptions {
  readonly allNamespaces?: boolean;
}

/** `isopod snapshot ls`. */
export async function snapshots(options: SnapshotListOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson, namespace } = context;
  const isAll = options.allNamespaces === true;
  const { items } = await client.list(resources.snapshots, isAll ? {} : { namespace });
  if (isJson) {
    printJson(items);
    return 0;
  }
  const { columnDefinitions, rows } = printTable(resources.snapshots, items, { nowMs: systemClock.nowMs() });
  const isShown = columnDefinitions.map(({ priority }) => priority === 0);
  const header = columnDefinitions.map(({ name }) => name.toUpperCase()).filter((_name, column) => isShown[column]);
  const lines = rows.map((row, index) => [
    ...(isAll ? [items[index]?.metadata.namespace ?? ""] : []),
    ...row.cells.map(String).filter((_cell, column) => isShown[column]),
  ]);
  print(formatTable(isAll ? ["NAMESPACE", ...header] : header, lines));
  return 0;
}

/** `isopod snapshot rm NAME…`: deletes snapshots and waits until their files are gone; clones run on. */
export async function snapshotRemove(names: readonly string[], options: GlobalOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson, namespace } = context;
  const { done, isAll } = await eachName(names, async (name) => {
    await deleteAndWait(client, resources.snapshots, await client.get(resources.snapshots, namespace, name));
    if (!isJson) print(name);
  });
  if (isJson) printJson({ removed: done });
  return isAll ? 0 : 1;
}
