import type { Limits } from "../docker.ts";

/** One way to run containers. Every call throws when it fails or `signal` is aborted. */
export interface Contender {
  readonly name: string;
  /** Before the first counted start of a size: whatever is made on first use is there afterwards. */
  prepare(size: Limits, signal: AbortSignal): Promise<void>;
  /** Starts a container that writes a word and ends. */
  start(size: Limits, signal: AbortSignal): Promise<Started>;
  /** The command a user would type, to its end; absent where it has no such option. */
  readonly runOnce?: (size: Limits, signal: AbortSignal) => Promise<void>;
  /** Starts a container that does nothing, with the tools of the tools image. */
  launch(size: Limits, signal: AbortSignal): Promise<Instance>;
}

export interface Started {
  /** From the API request to the first byte of output. */
  readonly ms: number;
  remove(): Promise<void>;
}

export interface Instance {
  /** Where other instances reach it. */
  readonly address: string;
  /** Runs a command in it; gives what it wrote to standard output. */
  exec(command: readonly string[], signal: AbortSignal): Promise<string>;
  memory(signal: AbortSignal): Promise<InstanceMemory>;
  remove(): Promise<void>;
}

/** Private memory (Private_Clean and Private_Dirty) of every process of the host that is there for one instance. */
export interface InstanceMemory {
  /** All of it but what the container's own processes use. */
  readonly overheadBytes: number;
  /** The part of it that holds translated code; undefined where nothing is emulated. */
  readonly translationCacheBytes: number | undefined;
}
