import { join } from "node:path";
import { backoffDelayMs, type Clock, isAbort, type Logger } from "@isopod/base";
import {
  type AttachStream,
  type ContainerSpec,
  type ContainerStarted,
  type ContainerState,
  connectGuest,
  type ExecSpec,
  type ExitStatus,
  GuestError,
  type GuestClient,
  type GuestConfiguration,
  type GuestStats,
  type GuestVolume,
} from "@isopod/guest";
import type { Machine, MachineExit, MachineSpec, Template, Vmm } from "@isopod/vmm";
import type { ContainerLog } from "./container-log.ts";
import { lastWords } from "./last-words.ts";

export interface InstanceOptions {
  readonly vmm: Vmm;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A guest that has not answered by then is not going to; TCG on a busy host takes its time. */
  readonly bootTimeoutMs: number;
}

/**
 * One running microVM and the conversation with its agent.
 *
 * The conversation may break (this process was restarted, the channel was reset) while the VM runs on: calls that only
 * ask are repeated on a new session, calls that change something are not.
 */
export class Instance {
  readonly machine: Machine;
  /** Settles when the VM is gone. */
  readonly lost: Promise<MachineExit>;
  readonly #options: InstanceOptions;
  readonly #ended = new AbortController();
  readonly #detached = new AbortController();
  #client: Promise<GuestClient> | undefined;
  #exit: MachineExit | undefined;
  #isHeard = false;

  private constructor(machine: Machine, options: InstanceOptions) {
    this.machine = machine;
    this.#options = options;
    this.lost = machine.exited;
    void machine.exited.then((exit) => {
      this.#exit = exit;
      this.#end(`the virtual machine is gone: ${lastWords(exit)}`);
    });
  }

  /** Aborts when the VM is gone, or is being ended by {@link kill}: nothing more is to be had from it. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** How the VM ended, once it has. */
  get exit(): MachineExit | undefined {
    return this.#exit;
  }

  /** Whether the guest has spoken to this process: proof that the VM lived in its time. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  /** Forks the VM, or boots it cold where there is no template. */
  static async start(
    spec: MachineSpec,
    template: Template | undefined,
    options: InstanceOptions,
    signal: AbortSignal,
  ): Promise<Instance> {
    const { vmm } = options;
    const machine = template === undefined ? await vmm.boot(spec, signal) : await vmm.fork(spec, template, signal);
    return new Instance(machine, options);
  }

  /** The VM left running by an earlier process, if it still runs. */
  static async find(directory: string, options: InstanceOptions): Promise<Instance | undefined> {
    const machine = await options.vmm.find(directory);
    return machine === undefined ? undefined : new Instance(machine, options);
  }

  /** Waits until the agent answers. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#connected(signal);
  }

  async configure(configuration: GuestConfiguration, signal: AbortSignal): Promise<void> {
    await (await this.#connected(signal)).configure(configuration, { signal: this.#until(signal) });
  }

  async putVolumes(volumes: readonly GuestVolume[], signal: AbortSignal): Promise<void> {
    await (await this.#connected(signal)).putVolumes(volumes, { signal: this.#until(signal) });
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerStarted> {
    return await (await this.#connected(signal)).startContainer(spec, { signal: this.#until(signal) });
  }

  async containers(signal: AbortSignal): Promise<readonly ContainerState[]> {
    return await this.#ask(signal, async (client) => await client.listContainers({ signal: this.#until(signal) }));
  }

  /** Resolves when the container has ended. */
  async wait(id: string, signal: AbortSignal): Promise<ExitStatus> {
    return await this.#ask(signal, async (client) => {
      const { exit } = await client.waitContainer(id, this.#until(signal));
      if (exit === undefined) throw new Error(`the agent answered a wait for ${id} without an exit`);
      return exit;
    });
  }

  /** Copies the container's output into its log until the container's output ends. */
  async copyOutput(id: string, log: ContainerLog, signal: AbortSignal): Promise<void> {
    await this.#ask(signal, async (client) => {
      for await (const chunk of client.output(id, log.nextOffset, this.#until(signal))) {
        if (chunk.droppedBytes > 0) {
          const notice = Buffer.from(`[isopod: ${chunk.droppedBytes} bytes of output were lost]\n`);
          await log.append("stderr", notice, chunk.epochMicros, chunk.nextOffset - chunk.data.length);
        }
        await log.append(chunk.stream, chunk.data, chunk.epochMicros, chunk.nextOffset);
      }
    });
  }

  async signal(id: string, name: string, signal: AbortSignal): Promise<void> {
    await (await this.#connected(signal)).signalContainer(id, name, { signal: this.#until(signal) });
  }

  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    await (await this.#connected(signal)).removeContainer(id, { signal: this.#until(signal) });
  }

  async exec(id: string, spec: ExecSpec, signal: AbortSignal): Promise<AttachStream> {
    return await (await this.#connected(signal)).exec(id, spec, this.#until(signal));
  }

  /** Output begins at byte `from` of the container's whole life, by default with what comes next. */
  async attach(id: string, from: number | undefined, signal: AbortSignal): Promise<AttachStream> {
    return await (await this.#connected(signal)).attach(id, {
      signal: this.#until(signal),
      ...(from === undefined ? {} : { from }),
    });
  }

  /** Whether the VM has its network, scratch disk and entropy: once per VM. */
  async isConfigured(signal: AbortSignal): Promise<boolean> {
    const { isConfigured } = await this.#ask(
      signal,
      async (client) => await client.info({ signal: this.#until(signal) }),
    );
    return isConfigured;
  }

  async stats(signal: AbortSignal): Promise<GuestStats> {
    return await this.#ask(signal, async (client) => await client.stats({ signal: this.#until(signal) }));
  }

  /** Ends the VM at once. Idempotent. */
  async kill(): Promise<void> {
    this.#end("the virtual machine was ended");
    await this.machine.kill();
    await this.#closeClient();
  }

  /** Lets go of the VM without ending it. */
  async detach(): Promise<void> {
    this.#detached.abort(new Error("the node agent lets go of the virtual machine"));
    await this.#closeClient();
    this.machine.detach();
  }

  #end(message: string): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(new Error(message));
  }

  #until(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#ended.signal]);
  }

  async #closeClient(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.[Symbol.asyncDispose]();
  }

  async #connected(signal: AbortSignal): Promise<GuestClient> {
    signal.throwIfAborted();
    this.#ended.signal.throwIfAborted();
    this.#client ??= this.#connect();
    return await unlessAborted(this.#client, signal);
  }

  /** The session outlives the call that opened it: only the VM's end, and the detach, stop it. */
  #connect(): Promise<GuestClient> {
    const connecting = connectGuest({
      socketPath: this.machine.agentSocketPath,
      logger: this.#options.logger,
      timeoutMs: this.#options.bootTimeoutMs,
      signal: AbortSignal.any([this.#ended.signal, this.#detached.signal]),
    });
    const forget = (): void => {
      if (this.#client === connecting) this.#client = undefined;
    };
    connecting.then((client) => {
      this.#isHeard = true;
      void client.closed.then(forget);
    }, forget);
    return connecting;
  }

  /** Repeats `question` on a new session while the old one broke and the VM lives. */
  async #ask<T>(signal: AbortSignal, question: (client: GuestClient) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const client = await this.#connected(signal);
      try {
        return await question(client);
      } catch (error) {
        if (signal.aborted || this.#ended.signal.aborted) throw error;
        const isBroken = error instanceof GuestError && error.code === "Disconnected";
        if (!isBroken && !isAbort(error)) throw error;
        // A VM that ends breaks its session first: a moment later its end is known, and that is not worth a word.
        const until = this.#until(signal);
        await this.#options.clock.sleep(backoffDelayMs(attempt, { initialMs: 50, maxMs: 2000 }), until);
        this.#options.logger.warn({ machine: this.machine.id, attempt }, "the guest's session broke; opening another");
      }
    }
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Where the VM's own files live, apart from the node agent's. */
export function machineDirectory(instanceDirectory: string, vmCount: number): string {
  return join(instanceDirectory, `vm-${vmCount}`);
}
