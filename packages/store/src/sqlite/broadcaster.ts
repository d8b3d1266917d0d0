import type { StoreEvent, WatchBatch } from "../contract.ts";

/** A subscriber that holds more than this reads the log instead: memory stays bounded whatever a watcher does. */
const maxQueuedEvents = 4096;

/** One watch's place in the feed. */
export class Subscription {
  #events: StoreEvent[] = [];
  #revision: number;
  #isOverrun = false;
  #wake: (() => void) | undefined;

  constructor(revision: number) {
    this.#revision = revision;
  }

  push(events: readonly StoreEvent[], revision: number): void {
    if (this.#isOverrun) return;
    if (this.#events.length + events.length > maxQueuedEvents) {
      this.#isOverrun = true;
      this.#events = [];
    } else {
      this.#events.push(...events);
      this.#revision = revision;
    }
    this.wake();
  }

  /** Events were dropped: whoever waits must read on from the log. */
  get isOverrun(): boolean {
    return this.#isOverrun;
  }

  take(): WatchBatch {
    const events = this.#events;
    this.#events = [];
    return { revision: this.#revision, events };
  }

  advance(revision: number): void {
    if (!this.#isOverrun) this.#revision = revision;
  }

  /** Resolves at the next push, progress mark or abort. */
  async wait(): Promise<void> {
    if (this.#events.length > 0 || this.#isOverrun) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** Hands every commit to the watches whose prefix it touches. */
export class Broadcaster {
  // Watches of one prefix share one matching pass: a thousand watchers of pods cost one look at each key.
  readonly #byPrefix = new Map<string, Set<Subscription>>();

  subscribe(prefix: string, revision: number): Subscription & Disposable {
    const subscription = new Subscription(revision);
    const group = this.#byPrefix.get(prefix) ?? new Set();
    this.#byPrefix.set(prefix, group.add(subscription));
    return Object.assign(subscription, {
      [Symbol.dispose]: () => {
        group.delete(subscription);
        if (group.size === 0 && this.#byPrefix.get(prefix) === group) this.#byPrefix.delete(prefix);
      },
    });
  }

  /** True when some watch wants events of this key: the version before is only read for those. */
  wants(key: string): boolean {
    for (const prefix of this.#byPrefix.keys()) if (key.startsWith(prefix)) return true;
    return false;
  }

  publish(events: readonly StoreEvent[], revision: number): void {
    for (const [prefix, group] of this.#byPrefix) {
      const matching = events.filter(({ key }) => key.startsWith(prefix));
      for (const subscription of group) {
        if (matching.length > 0) subscription.push(matching, revision);
        else subscription.advance(revision);
      }
    }
  }

  /** Wakes every watch, so that it can tell how far it is or see that the store closed. */
  wakeAll(): void {
    for (const group of this.#byPrefix.values()) for (const subscription of group) subscription.wake();
  }
}
