import { join } from "node:path";
import { type Clock, describeError, type Logger } from "@isopod/base";
import type {
  AttachStream,
  ContainerSpec,
  ContainerStarted,
  ContainerState,
  ExecSpec,
  ExitStatus,
  GuestConfiguration,
  GuestReidentification,
  GuestStats,
  GuestVolume,
} from "@isopod/guest";
import { type Machine, type MachineExit, type MachineSpec, type Template, type Vmm, VmmError } from "@isopod/vmm";
import type { ContainerLog } from "./container-log.ts";
import { GuestConversation } from "./guest-conversation.ts";
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
 * One running microVM and its guest.
 *
 * The conversation with the guest's agent may break (this process was restarted, the channel was reset) while the VM
 * runs on: calls that only ask are repeated on a new session, calls that change something are not.
 *
 * While the VM is paused nothing is asked of its agent, which could not answer in time: calls wait until it goes on. What
 * waits by its nature (the end of a container, its output) waits through a pause.
 */
export class Instance {
  readonly machine: Machine;
  /** Settles when the VM is gone. */
  readonly lost: Promise<MachineExit>;
  readonly #guest: GuestConversation;
  readonly #ended = new AbortController();
  #exit: MachineExit | undefined;
  /** Pauses, resumes and snapshots are done one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(machine: Machine, options: InstanceOptions, isTakenOver = false) {
    const { clock, logger, bootTimeoutMs: timeoutMs, isFromSnapshot = false } = options;
    this.machine = machine;
    this.#guest = new GuestConversation({
      machineId: machine.id,
      socketPath: machine.agentSocketPath,
      clock,
      logger,
      timeoutMs,
      isFromSnapshot,
      isTakenOver,
      isSuspended: machine.isPaused,
      ended: this.#ended.signal,
    });
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
    return this.#guest.isHeard;
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
    return machine === undefined ? undefined : new Instance(machine, options, true);
  }

  /** Waits until the agent of a VM that was just started answers. */
  async greet(signal: AbortSignal): Promise<void> {
    await this.#guest.greet(signal);
  }

  /** Waits until the agent answers. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#guest.connect(signal);
  }

  /** The VM stands still, or is about to. */
  get isPaused(): boolean {
    return this.#guest.isSuspended;
  }

  /** Stops the VM between two instructions, once the agent owes no answer. Idempotent. */
  async pause(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.machine.isPaused) return;
      try {
        await this.#guest.suspend();
        await this.machine.pause();
      } catch (error) {
        this.#guest.goOn();
        throw error;
      }
    });
  }

  /** Lets a paused VM go on. Its clock is behind until it is given an identity again. Idempotent. */
  async resume(): Promise<void> {
    await this.#inTurn(async () => {
      await this.machine.resume();
      this.#guest.goOn();
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
    await this.#guest.configure(configuration, signal);
  }

  /** Sets clock and randomness of a guest that stood still; one that was cloned also becomes the instance it is. */
  async reidentify(identity: GuestReidentification, signal: AbortSignal): Promise<void> {
    await this.#guest.tell(signal, async (client, until) => await client.reidentify(identity, until));
  }

  async putVolumes(volumes: readonly GuestVolume[], signal: AbortSignal): Promise<void> {
    await this.#guest.putVolumes(volumes, signal);
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerStarted> {
    return await this.#guest.startContainer(spec, signal);
  }

  async containers(signal: AbortSignal): Promise<readonly ContainerState[]> {
    return await this.#guest.containers(signal);
  }

  /** Resolves when the container has ended. */
  async wait(id: string, signal: AbortSignal): Promise<ExitStatus> {
    return await this.#guest.ask(signal, async (client, until) => {
      const { exit } = await client.waitContainer(id, until.signal);
      if (exit === undefined) throw new Error(`the agent answered a wait for ${id} without an exit`);
      return exit;
    });
  }

  /** Copies the container's output into its log until the container's output ends. */
  async copyOutput(id: string, log: ContainerLog, signal: AbortSignal): Promise<void> {
    await this.#guest.ask(signal, async (client, until) => {
      for await (const chunk of client.output(id, log.nextOffset, until.signal)) {
        if (chunk.droppedBytes > 0) {
          const notice = Buffer.from(`[isopod: ${chunk.droppedBytes} bytes of output were lost]\n`);
          await log.append("stderr", notice, chunk.epochMicros, chunk.nextOffset - chunk.data.length);
        }
        await log.append(chunk.stream, chunk.data, chunk.epochMicros, chunk.nextOffset);
      }
    });
  }

  async signal(id: string, name: string, signal: AbortSignal): Promise<void> {
    await this.#guest.tell(signal, async (client, until) => await client.signalContainer(id, name, until));
  }

  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    await this.#guest.tell(signal, async (client, until) => await client.removeContainer(id, until));
  }

  async exec(id: string, spec: ExecSpec, signal: AbortSignal): Promise<AttachStream> {
    return await this.#guest.tell(signal, async (client, until) => await client.exec(id, spec, until.signal));
  }

  /** Output begins at byte `from` of the container's whole life, by default with what comes next. */
  async attach(id: string, from: number | undefined, signal: AbortSignal): Promise<AttachStream> {
    return await this.#guest.tell(signal, async (client, until) => {
      return await client.attach(id, { ...until, ...(from === undefined ? {} : { from }) });
    });
  }

  /** Whether the VM has its network, scratch disk and entropy: once per VM. */
  async isConfigured(signal: AbortSignal): Promise<boolean> {
    const { isConfigured } = await this.#guest.askAtOnce(signal, async (client, until) => await client.info(until));
    return isConfigured;
  }

  async stats(signal: AbortSignal): Promise<GuestStats> {
    return await this.#guest.askAtOnce(signal, async (client, until) => await client.stats(until));
  }

  /** Ends the VM at once. Idempotent. */
  async kill(): Promise<void> {
    this.#end("the virtual machine was ended");
    await this.machine.kill();
    await this.#guest.close();
  }

  /** Lets go of the VM without ending it. */
  async detach(): Promise<void> {
    await this.#guest.close();
    this.machine.detach();
  }

  #end(message: string): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(new Error(message));
  }

  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(action);
    this.#turn = done.catch(() => {});
    return await done;
  }
}

/** Where the VM's own files live, apart from the node agent's. */
export function machineDirectory(instanceDirectory: string, vmCount: number): string {
  return join(instanceDirectory, `vm-${vmCount}`);
}
