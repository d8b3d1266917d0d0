import { backoffDelayMs, type Clock, isAbort, type Logger, untilAborted } from "@isopod/base";
import {
  type ContainerSpec,
  type ContainerStarted,
  type ContainerState,
  connectGuest,
  type GuestClient,
  type GuestConfiguration,
  GuestError,
  type GuestLine,
  type GuestVolume,
  greetGuest,
} from "@isopod/guest";
import { hangUp } from "./hang-up.ts";

export interface GuestConversationOptions {
  /** The VM, for the log. */
  readonly machineId: string;
  /** Unix socket of its agent. */
  readonly socketPath: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An agent that has not answered by then is not going to. */
  readonly timeoutMs: number;
  /** The guest was saved in a session with another host, which it may still take for the one it has. */
  readonly isFromSnapshot: boolean;
  /** Another process had the last session, and how that ended is not known. */
  readonly isTakenOver: boolean;
  readonly isSuspended: boolean;
  /** Aborts when the VM is gone: nothing more is to be had from its agent. */
  readonly ended: AbortSignal;
}

/** What a call of the agent is ended by. */
interface Until {
  readonly signal: AbortSignal;
}

/**
 * The conversation with the agent of one VM, over as many sessions as it takes: {@link ask} is for what can be repeated
 * when a session breaks, {@link tell} for what changes something and cannot.
 *
 * What makes a VM an instance is kept until the first container starts, and then sent with it in one message; whoever
 * asks anything else first has it sent before.
 */
export class GuestConversation {
  readonly #options: GuestConversationOptions;
  readonly #closed = new AbortController();
  /** With an agent that was greeted and told nothing yet; of a VM that was just started. */
  #line: GuestLine | undefined;
  #order: { readonly configuration: GuestConfiguration; readonly volumes: readonly GuestVolume[] } | undefined;
  #finishing: Promise<void> | undefined;
  #client: Promise<GuestClient> | undefined;
  #isHeard = false;
  #isTakenOver: boolean;
  /** Set while it is suspended; resolves when it goes on. */
  #suspension: PromiseWithResolvers<void> | undefined;
  /** Calls the agent has not answered yet, but for those that wait by their nature. */
  readonly #calls = new Set<Promise<unknown>>();

  constructor(options: GuestConversationOptions) {
    this.#options = options;
    this.#isTakenOver = options.isTakenOver;
    if (options.isSuspended) this.#suspension = Promise.withResolvers();
  }

  /** Whether the guest has spoken to this process. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  get isSuspended(): boolean {
    return this.#suspension !== undefined;
  }

  /** Keeps calls waiting until {@link goOn}; resolves once the agent owes no answer. Idempotent. */
  async suspend(): Promise<void> {
    this.#suspension ??= Promise.withResolvers();
    await this.#client?.catch(() => {});
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
  }

  goOn(): void {
    this.#suspension?.resolve();
    this.#suspension = undefined;
  }

  /** Waits until the agent of a VM that was just started answers. */
  async greet(signal: AbortSignal): Promise<void> {
    const { socketPath, logger, timeoutMs } = this.#options;
    this.#line = await greetGuest({ socketPath, logger, timeoutMs, signal: this.#until(signal) });
    this.#isHeard = true;
  }

  /** Waits until the agent answers. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#connected(signal);
  }

  async configure(configuration: GuestConfiguration, signal: AbortSignal): Promise<void> {
    if (this.#line !== undefined) {
      this.#order = { configuration, volumes: [] };
      return;
    }
    await this.tell(signal, async (client, until) => await client.configure(configuration, until));
  }

  async putVolumes(volumes: readonly GuestVolume[], signal: AbortSignal): Promise<void> {
    if (this.#line !== undefined && this.#order !== undefined) {
      this.#order = { ...this.#order, volumes };
      return;
    }
    await this.tell(signal, async (client, until) => await client.putVolumes(volumes, until));
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerStarted> {
    const [line, order] = [this.#line, this.#order];
    if (line !== undefined && order !== undefined && this.#suspension === undefined) {
      return await this.#startFirst(line, { ...order, container: spec }, signal);
    }
    return await this.tell(signal, async (client, until) => await client.startContainer(spec, until));
  }

  async containers(signal: AbortSignal): Promise<readonly ContainerState[]> {
    if (this.#line !== undefined) return [];
    return await this.askAtOnce(signal, async (client, until) => await client.listContainers(until));
  }

  /** One call that the agent answers at once. */
  async tell<T>(signal: AbortSignal, call: (client: GuestClient, until: Until) => Promise<T>): Promise<T> {
    let client = await this.#connected(signal);
    // It may have been suspended meanwhile: that waits for calls under way, and keeps others waiting.
    while (this.#suspension !== undefined) client = await this.#connected(signal);
    const answer = call(client, { signal: this.#until(signal) });
    this.#calls.add(answer);
    try {
      return await answer;
    } finally {
      this.#calls.delete(answer);
    }
  }

  /** Repeats a question that waits by its nature on a new session while the old one broke and the VM lives. */
  async ask<T>(signal: AbortSignal, question: (client: GuestClient, until: Until) => Promise<T>): Promise<T> {
    const { clock, logger, ended, machineId } = this.#options;
    const until = { signal: this.#until(signal) };
    for (let attempt = 0; ; attempt++) {
      const client = await this.#connected(signal);
      try {
        return await question(client, until);
      } catch (error) {
        if (signal.aborted || ended.aborted) throw error;
        const isBroken = error instanceof GuestError && error.code === "Disconnected";
        if (!isBroken && !isAbort(error)) throw error;
        // A VM that ends breaks its session first: a moment later its end is known, and that is not worth a word.
        await clock.sleep(backoffDelayMs(attempt, { initialMs: 50, maxMs: 2000 }), until.signal);
        logger.warn({ machine: machineId, attempt }, "the guest's session broke; opening another");
      }
    }
  }

  /** As {@link ask}, of a question that the agent answers at once. */
  async askAtOnce<T>(signal: AbortSignal, question: (client: GuestClient, until: Until) => Promise<T>): Promise<T> {
    return await this.ask(signal, async () => await this.tell(signal, question));
  }

  /** Ends it. The VM goes on. */
  async close(): Promise<void> {
    this.#closed.abort(new Error("the node agent lets go of the virtual machine"));
    this.#line?.[Symbol.dispose]();
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.[Symbol.asyncDispose]();
  }

  #until(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#options.ended]);
  }

  async #connected(signal: AbortSignal): Promise<GuestClient> {
    while (this.#suspension !== undefined) await untilAborted(this.#suspension.promise, this.#until(signal));
    signal.throwIfAborted();
    this.#options.ended.throwIfAborted();
    const connecting = this.#client ?? this.#hold(this.#open());
    const client = await untilAborted(connecting, signal);
    if (this.#order === undefined) return client;
    this.#finishing ??= this.#finishOrder(client).finally(() => {
      this.#finishing = undefined;
    });
    await untilAborted(this.#finishing, signal);
    return client;
  }

  /** The session outlives the call that opened it: only the VM's end, and the conversation's, stop it. */
  async #open(): Promise<GuestClient> {
    const line = this.#line;
    if (line !== undefined) {
      this.#line = undefined;
      return line.session();
    }
    const { socketPath, logger, timeoutMs, isFromSnapshot, ended } = this.#options;
    if (this.#isTakenOver) await hangUp(socketPath);
    this.#isTakenOver = false;
    const signal = AbortSignal.any([ended, this.#closed.signal]);
    return await connectGuest({ socketPath, logger, timeoutMs, isSessionDead: isFromSnapshot, signal });
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
    const until = { signal: this.#options.ended };
    const { isConfigured } = await client.info(until);
    if (!isConfigured) await client.configure(order.configuration, until);
    if (order.volumes.length > 0) await client.putVolumes(order.volumes, until);
    this.#order = undefined;
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
}
