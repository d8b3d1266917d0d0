import { readdir, readFile } from "node:fs/promises";

/** The fields of /proc/PID/status, of a thread if one is named. Undefined when there is no such process any more. */
export async function statusOf(pid: number, thread?: number): Promise<ReadonlyMap<string, string> | undefined> {
  const path = thread === undefined ? `/proc/${pid}/status` : `/proc/${pid}/task/${thread}/status`;
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  return new Map(text.split("\n").map((line) => [line.split(":\t", 1)[0] ?? "", line.split(":\t")[1]?.trim() ?? ""]));
}

export async function parentOf(pid: number): Promise<number | undefined> {
  const parent = (await statusOf(pid))?.get("PPid");
  return parent === undefined ? undefined : Number(parent);
}

/** Those that have not been reaped among them. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const children: number[] = [];
  for (const name of await readdir("/proc")) {
    if (/^\d+$/.test(name) && (await parentOf(Number(name))) === pid) children.push(Number(name));
  }
  return children;
}

export async function threadsOf(pid: number): Promise<readonly number[]> {
  return (await readdir(`/proc/${pid}/task`)).map(Number);
}
