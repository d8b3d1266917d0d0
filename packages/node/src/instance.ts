import { join } from "node:path";
import { backoffDelayMs, type Clock, describeError, isAbort, type Logger } from "@isopod/base";
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
  type GuestLine,
  type GuestReidentification,
  type GuestStats,
  type GuestVolume,
  greetGuest,
} from "@isopod/guest";
import { type Machine, type MachineExit, type MachineSpec, type Template, type Vmm, VmmError } from "@isopod/vmm";
import type { ContainerLog } from "./container-log.ts";
import { hangUp } from "./hang-up.ts";
import { lastWords } from "./last-words.ts";

export interface InstanceOptions {
  readonly vmm: Vmm;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A guest that has not answered by then is not going to; TCG on a busy host takes its time. */
  readonly bootTimeoutMs: number;
  /** The guest was saved in a session with another host, which it may still take for the one it has. */
  readonly isFromSnapshot?: boolean;
}

/** How long the guest stood still for a snapshot, and what that takes on disk. */
export type SnapshotSummary = Awaited<ReturnType<Machine["snapshot"]>>;

/**
 * One running microVM and the conversation with its agent.
 *
 * The conversation may break (this process was restarted, the channel was reset) while the VM runs on: calls that only
 * ask are repeated on a new session, calls that change something are not.
 *
 * While the VM is paused nothing is asked of its agent, which could not answer in time: calls wait until it goes on. What
 * waits by its nature (the end of a container, its output) waits through a pause.
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
  /** Set while the VM is paused, or is about to be; resolves when it goes on. */
  #pause: PromiseWithResolvers<void> | undefined;
  /** Another process had the last session, and how that ended is not known. */
  #isTakenOver = false;
  /** To an agent that was greeted and told nothing yet; of a VM that was just started. */
  #line: GuestLine | undefined;
  /** What makes the VM this instance. Kept until the first container starts, and then sent with it in one message. */
  #order: { readonly configuration: GuestConfiguration; readonly volumes: readonly GuestVolume[] } | undefined;
  #finishing: Promise<void> | undefined;
  /** Calls the agent has not answered yet, but for those that wait by their nature. */
  readonly #calls = new Set<Promise<unknown>>();
  /** Pauses, resumes and snapshots are done one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(machine: Machine, options: InstanceOptions) {
    this.machine = machine;
    this.#options = options;
    this.lost = machine.exited;
    if (machine.isPaused) this.#pause = Promise.withResolvers();
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

  /** Boots the VM cold. */
  static async boot(spec: MachineSpec, options: InstanceOptions, signal: AbortSignal): Promise<Instance> {
    return new Instance(await options.vmm.boot(spec, signal), options);
  }

  /** Undefined when the template turns out to be unusable at the last moment: nothing was started then. */
  static async fork(
    spec: MachineSpec,
    template: Template,
    options: InstanceOptions,
    signal: AbortSignal,
  ): Promise<Instance | undefined> {
    try {
      return new Instance(await options.vmm.fork(spec, template, signal), options);
    } catch (error) {
      if (!(error instanceof VmmError) || error.code !== "TemplateFailed") throw error;
      options.logger.warn({ template: template.id, reason: describeError(error) }, "a template could not be forked");
      return undefined;
    }
  }

  /** The VM left running by an earlier process, if it still runs. */
  static async find(directory: string, options: InstanceOptions): Promise<Instance | undefined> {
    const machine = await options.vmm.find(directory);
    if (machine === undefined) return undefined;
    const instance = new Instance(machine, options);
    instance.#isTakenOver = true;
    return instance;
  }

  /** Waits until the agent of a VM that was just started answers. */
  async greet(signal: AbortSignal): Promise<void> {
    const { logger, bootTimeoutMs: timeoutMs } = this.#options;
    const until = AbortSignal.any([signal, this.#ended.signal]);
    this.#line = await greetGuest({ socketPath: this.machine.agentSocketPath, logger, timeoutMs, signal: until });
    this.#isHeard = true;
  }

  /** Waits until the agent answers. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#connected(signal);
  }

  /** The VM stands still, or is about to. */
  get isPaused(): boolean {
    return this.#pause !== undefined;
  }

  /** Stops the VM between two instructions, once the agent owes no answer. Idempotent. */
  async pause(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.machine.isPaused) return;
      const pause = (this.#pause ??= Promise.withResolvers());
      try {
        await this.#client?.catch(() => {});
        while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
        await this.machine.pause();
      } catch (error) {
        this.#pause = undefined;
        pause.resolve();
        throw error;
      }
    });
  }

  /** Lets a paused VM go on. Its clock is behind until it is given an identity again. Idempotent. */
  async resume(): Promise<void> {
    await this.#inTurn(async () => {
      await this.machine.resume();
      this.#pause?.resolve();
      this.#pause = undefined;
    });
  }

  /** Saves the VM into a new directory. It runs on, and a paused one stays so; also after an abort. */
  async snapshot(directory: string, signal: AbortSignal): Promise<SnapshotSummary> {
    return await this.#inTurn(async () => {
      signal.throwIfAborted();
      this.#ended.signal.throwIfAborted();
      return await this.machine.snapshot(directory, signal);
    });
  }

  async configure(configuration: GuestConfiguration, signal: AbortSignal): Promise<void> {
    if (this.#line !== undefined) {
      this.#order = { configuration, volumes: [] };
      return;
    }
    await this.#tell(signal, async (client, until) => await client.configure(configuration, until));
  }

  /** Sets clock and randomness of a guest that stood still; one that was cloned also becomes the instance it is. */
  async reidentify(identity: GuestReidentification, signal: AbortSignal): Promise<void> {
    await this.#tell(signal, async (client, until) => await client.reidentify(identity, until));
  }

  async putVolumes(volumes: readonly GuestVolume[], signal: AbortSignal): Promise<void> {
    if (this.#line !== undefined && this.#order !== undefined) {
      this.#order = { ...this.#order, volumes };
      return;
    }
    await this.#tell(signal, async (client, until) => await client.putVolumes(volumes, until));
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerStarted> {
    const [line, order] = [this.#line, this.#order];
    if (line !== undefined && order !== undefined && this.#pause === undefined) {
      return await this.#startFirst(line, { ...order, container: spec }, signal);
    }
    return await this.#tell(signal, async (client, until) => await client.startContainer(spec, until));
  }

  async containers(signal: AbortSignal): Promise<readonly ContainerState[]> {
    if (this.#line !== undefined) return [];
    return await this.#ask(signal, async () => {
      return await this.#tell(signal, async (client, until) => await client.listContainers(until));
    });
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
    await this.#tell(signal, async (client, until) => await client.signalContainer(id, name, until));
  }

  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    await this.#tell(signal, async (client, until) => await client.removeContainer(id, until));
  }

  async exec(id: string, spec: ExecSpec, signal: AbortSignal): Promise<AttachStream> {
    return await this.#tell(signal, async (client, until) => await client.exec(id, spec, until.signal));
  }

  /** Output begins at byte `from` of the container's whole life, by default with what comes next. */
  async attach(id: string, from: number | undefined, signal: AbortSignal): Promise<AttachStream> {
    return await this.#tell(signal, async (client, until) => {
      return await client.attach(id, { ...until, ...(from === undefined ? {} : { from }) });
    });
  }

  /** Whether the VM has its network, scratch disk and entropy: once per VM. */
  async isConfigured(signal: AbortSignal): Promise<boolean> {
    const { isConfigured } = await this.#ask(signal, async () => {
      return await this.#tell(signal, async (client, until) => await client.info(until));
    });
    return isConfigured;
  }

  async stats(signal: AbortSignal): Promise<GuestStats> {
    return await this.#ask(signal, async () => {
      return await this.#tell(signal, async (client, until) => await client.stats(until));
    });
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
    this.#line?.[Symbol.dispose]();
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.[Symbol.asyncDispose]();
  }

  async #connected(signal: AbortSignal): Promise<GuestClient> {
    while (this.#pause !== undefined) await unlessAborted(this.#pause.promise, this.#until(signal));
    signal.throwIfAborted();
    this.#ended.signal.throwIfAborted();
    const connecting = this.#client ?? this.#hold(this.#line === undefined ? this.#connect() : this.#takeLine());
    const client = await unlessAborted(connecting, signal);
    if (this.#order === undefined) return client;
    this.#finishing ??= this.#finishOrder(client).finally(() => {
      this.#finishing = undefined;
    });
    await unlessAborted(this.#finishing, signal);
    return client;
  }

  async #takeLine(): Promise<GuestClient> {
    const line = this.#line;
    this.#line = undefined;
    return line === undefined ? await this.#connect() : line.session();
  }

  async #startFirst(
    line: GuestLine,
    start: Parameters<GuestLine["start"]>[0],
    signal: AbortSignal,
  ): Promise<ContainerStarted> {
    this.#line = undefined;
    const starting = line.start(start, this.#until(signal));
    const connecting = starting.then(({ client }) => {
      this.#order = undefined;
      return client;
    });
    this.#hold(connecting);
    this.#calls.add(starting);
    try {
      return (await starting).started;
    } finally {
      this.#calls.delete(starting);
    }
  }

  /** After a first container that was refused, or before anything else that is asked of a new VM. */
  async #finishOrder(client: GuestClient): Promise<void> {
    const order = this.#order;
    if (order === undefined) return;
    const { isConfigured } = await client.info({ signal: this.#ended.signal });
    if (!isConfigured) await client.configure(order.configuration, { signal: this.#ended.signal });
    if (order.volumes.length > 0) await client.putVolumes(order.volumes, { signal: this.#ended.signal });
    this.#order = undefined;
  }

  /** One call that the agent answers at once. */
  async #tell<T>(
    signal: AbortSignal,
    call: (client: GuestClient, until: { readonly signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    let client = await this.#connected(signal);
    // A pause may have begun meanwhile: it waits for calls under way, and keeps others waiting.
    while (this.#pause !== undefined) client = await this.#connected(signal);
    const answer = call(client, { signal: this.#until(signal) });
    this.#calls.add(answer);
    try {
      return await answer;
    } finally {
      this.#calls.delete(answer);
    }
  }

  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(action);
    this.#turn = done.catch(() => {});
    return await done;
  }

  /** The session outlives the call that opened it: only the VM's end, and the detach, stop it. */
  async #connect(): Promise<GuestClient> {
    const { agentSocketPath: socketPath } = this.machine;
    if (this.#isTakenOver) await hangUp(socketPath);
    this.#isTakenOver = false;
    return await connectGuest({
      socketPath,
      logger: this.#options.logger,
      timeoutMs: this.#options.bootTimeoutMs,
      isSessionDead: this.#options.isFromSnapshot === true,
      signal: AbortSignal.any([this.#ended.signal, this.#detached.signal]),
    });
  }

  /** Makes it the session that calls use, until it ends. */
  #hold(connecting: Promise<GuestClient>): Promise<GuestClient> {
    this.#client = connecting;
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
  signal.throwIfAborted();
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
