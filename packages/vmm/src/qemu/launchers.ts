import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { streamsOf } from "./child-streams.ts";

/** A launcher that has begun, or failed to. */
export interface WaitingLauncher {
  readonly child: ChildProcess;
  /** Rejects when the program could not be run. */
  readonly spawned: Promise<unknown>;
}

/** When the next launcher is begun: the start that took the last one has the processor to itself meanwhile. */
const refillMs = 150;

/**
 * Keeps one launcher waiting, with all of a jail built that needs no plan: a start then has neither a process to begin
 * nor the mounts to wait for. It is no machine and belongs to none; it ends when this process does.
 */
export class Launchers {
  readonly #path: string;
  readonly #mountPoint: string;
  #waiting: WaitingLauncher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `mountPoint`: an empty directory; what a launcher mounts on it no other process sees. */
  constructor(path: string, mountPoint: string) {
    this.#path = path;
    this.#mountPoint = mountPoint;
    this.#refillLater();
  }

  /** Where the launcher is, for error messages and for its other uses. */
  get path(): string {
    return this.#path;
  }

  /** One that waits, or else a new one. */
  take(): WaitingLauncher {
    const waiting = this.#waiting ?? this.#begin();
    this.#waiting = undefined;
    this.#refillLater();
    waiting.child.ref();
    controlOf(waiting)?.ref();
    return waiting;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    // Its conversation ends, and so does it.
    if (waiting !== undefined) controlOf(waiting)?.destroy();
  }

  #refillLater(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      const next = this.#begin();
      this.#waiting = next;
      next.child.unref();
      controlOf(next)?.unref();
      const forget = (): void => {
        if (this.#waiting === next) this.#waiting = undefined;
      };
      // Killed by somebody, or never begun: the next start begins its own, and tells why when that fails too.
      next.child.once("exit", forget);
      next.spawned.catch(forget);
    }, refillMs).unref();
  }

  #begin(): WaitingLauncher {
    const child = spawn(this.#path, ["jail", this.#mountPoint], {
      cwd: "/",
      env: {},
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    // Heard first of all: a failed spawn is told by an event, and one without a listener ends the process.
    const spawned = once(child, "spawn");
    spawned.catch(() => {});
    return { child, spawned };
  }
}

/** Descriptor 3 of a launcher: a socket, which keeps this process alive as long as it is referred to. */
function controlOf({ child }: WaitingLauncher): Socket | undefined {
  const control = streamsOf(child)?.[3];
  return control instanceof Socket ? control : undefined;
}
