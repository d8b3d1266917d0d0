import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { VmmError, type VmmErrorCode } from "../errors.ts";
import { streamsOf } from "./child-streams.ts";
import { encodeLaunchPlan, type LaunchPlan, type MonitorPlan } from "./launch-plan.ts";
import type { Launchers } from "./launchers.ts";

export interface LaunchOptions {
  readonly launchers: Launchers;
  /** The machine, for error messages. */
  readonly id: string;
  /** Called when the jail stands and before the monitor may run; what it throws ends the launch. */
  readonly record: (pid: number) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/** Of a launcher that became the monitor: none. */
const readyLine = /^ready(?: (?<pid>\d+))?\n$/;

/**
 * Runs the launcher until it has become the monitor and returns that process; undefined for a clone, which is a child of
 * its zygote's. Throws `VmmError`: `LaunchFailed`, `DiskUnavailable`, `TapUnavailable`, `CgroupUnavailable`, `NoSpace`.
 */
export async function launch(plan: MonitorPlan, options: LaunchOptions): Promise<ChildProcess>;
export async function launch(plan: LaunchPlan, options: LaunchOptions): Promise<ChildProcess | undefined>;
export async function launch(plan: LaunchPlan, options: LaunchOptions): Promise<ChildProcess | undefined> {
  options.signal?.throwIfAborted();
  const cannotRun = (cause: unknown): VmmError =>
    new VmmError(`machine ${options.id}: the launcher ${options.launchers.path} cannot be run`, {
      code: "LaunchFailed",
      stage: "boot",
      object: options.id,
      remedy: "The cache directory must be on a file system that allows executables.",
      cause,
    });
  const { child, spawned } = options.launchers.take();
  const streams = streamsOf(child);
  if (streams === undefined) throw await spawned.then(() => new TypeError("the launcher has no streams"), cannotRun);
  const control = streams[3];
  if (!(control instanceof Duplex)) throw new TypeError("descriptor 3 of the launcher is not a stream");
  const abort = (): void => {
    child.kill("SIGKILL");
    // A zygote that never answers has the other end, and the launcher has done its part.
    control.destroy();
  };
  options.signal?.addEventListener("abort", abort);
  try {
    await spawned;
    control.on("error", () => {});
    control.write(encodeLaunchPlan(plan));
    let answer = "";
    let mayRun = false;
    for await (const chunk of control) {
      answer += String(chunk);
      const ready = readyLine.exec(answer);
      if (ready !== null && !mayRun) {
        answer = "";
        mayRun = true;
        await options.record(Number(ready.groups?.["pid"] ?? child.pid));
        control.write("go\n");
      }
      // The launcher says at most one more line, of bounded length; whatever says more is not the launcher.
      if (answer.length > 16_384) break;
    }
    options.signal?.throwIfAborted();
    // No word and the end of the conversation: the exec closed the launcher's side.
    if (answer === "" && mayRun) return plan.type === "monitor" ? child : undefined;
    throw failureOf(answer, options.id);
  } catch (cause) {
    child.kill("SIGKILL");
    // Until then it may make what the caller is about to clear away.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) await once(child, "exit");
    options.signal?.throwIfAborted();
    if (cause instanceof VmmError) throw cause;
    throw cannotRun(cause);
  } finally {
    options.signal?.removeEventListener("abort", abort);
    control.destroy();
  }
}

const codeOfStep: Readonly<Record<string, VmmErrorCode>> = Object.freeze({
  "open-file": "DiskUnavailable",
  "open-tap": "TapUnavailable",
  "find-tap": "TapUnavailable",
  "open-namespace": "TapUnavailable",
  "enter-namespace": "TapUnavailable",
  "join-cgroup": "CgroupUnavailable",
});

const remedyOf: Readonly<Partial<Record<VmmErrorCode, string>>> = Object.freeze({
  DiskUnavailable: "The file must exist and be readable (and writable, for a writable disk).",
  TapUnavailable: "The tap device must exist in the given network namespace and be in use by no other machine.",
  CgroupUnavailable: "The service needs write access to the host's cgroups.",
  NoSpace: "Free some space on the host and try again.",
});

/** ENOSPC and EDQUOT. */
const noSpaceNumbers: readonly number[] = [28, 122];

/** The launcher's `error <step> <errno> <message>` as an error of ours. */
export function failureOf(answer: string, id: string): VmmError {
  const match = /^error (\S+) (-?\d+) (.*)\n$/s.exec(answer);
  const [step = "unknown", number = "0", message = "the launcher ended without saying why"] = match?.slice(1) ?? [];
  const code = noSpaceNumbers.includes(Number(number)) ? "NoSpace" : (codeOfStep[step] ?? "LaunchFailed");
  const remedy = remedyOf[code];
  return new VmmError(`machine ${id}: step ${step} of its launch failed: ${message}`, {
    code,
    stage: "boot",
    object: id,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
