import { readdir, readFile, readlink } from "node:fs/promises";
import { type Clock, systemErrorCode } from "@isopod/base";

/** A process, told apart from any later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since the host booted, field 22 of /proc/PID/stat; exec does not change it. */
  readonly startTicks: string;
  /** The kernel's identity of this boot of the host. */
  readonly bootId: string;
}

/** The identity of a running process; undefined when there is none, or only a zombie. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const startTicks = await startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: await readBootId() };
}

export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  return (await startTicksOf(identity.pid)) === identity.startTicks && (await readBootId()) === identity.bootId;
}

/** Kills a process whose parent is another, and returns when all of it is gone. */
export async function endProcess(identity: ProcessIdentity, clock: Clock): Promise<void> {
  while (await isRunning(identity)) {
    killIfThere(identity.pid);
    await clock.sleep(10);
  }
}

/** A process may end between a look at it and the signal: that is no error. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (systemErrorCode(error) !== "ESRCH") throw error;
  }
}

/** What each descriptor of a process leads to. */
export async function descriptorsOf(pid: number): Promise<ReadonlyMap<number, string>> {
  const open = new Map<number, string>();
  for (const name of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => undefined);
    if (target !== undefined) open.set(Number(name), target);
  }
  return open;
}

async function startTicksOf(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
  // The second field, the name in parentheses, may itself contain blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, threads, startTicks] = [fields[0], fields[17], fields[19]];
  // Z and X: dead, and only waiting for a parent to notice; unless only its first thread is, and the others go on.
  const isDead = (state === "Z" || state === "X") && Number(threads) <= 1;
  return isDead ? undefined : startTicks;
}

async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
