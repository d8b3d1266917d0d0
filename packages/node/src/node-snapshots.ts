import {
  isInvalid,
  isNotFound,
  type ObjectMeta,
  type Pod,
  resources,
  type Snapshot,
  snapshotFinalizer,
} from "@isopod/api";
import { type Clock, describeError, IsopodError, type Logger, retry } from "@isopod/base";
import { type EventRecorder, Informer, type KubeClient, keyOf, WorkQueue } from "@isopod/client";
import type { ImageStore } from "@isopod/image";
import { NodeError } from "./node-error.ts";
import { formatTime } from "./pod-status.ts";
import { runAll } from "./run-all.ts";
import type { SavedInstance } from "./save-instance.ts";
import type { SnapshotFiles } from "./snapshot-files.ts";

/** An instance on this node, as far as a snapshot of it goes. */
export interface SavablePod {
  readonly pod: Pod;
  /** Of the images it runs. */
  readonly imageDigests: readonly string[];
  save(directory: string, signal: AbortSignal): Promise<SavedInstance>;
}

export interface NodeSnapshotsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, "normal">;
  readonly images: Pick<ImageStore, "hold" | "release">;
  readonly files: SnapshotFiles;
  readonly nodeName: string;
  /** Complete by the time {@link NodeSnapshots.run} is called. */
  readonly findPod: (namespace: string, name: string) => SavablePod | undefined;
}

/** Enough of a snapshot to look for it, and for its files. */
interface SnapshotIdentity {
  readonly metadata: Pick<ObjectMeta, "uid" | "name" | "namespace">;
}

type Status = NonNullable<Snapshot["status"]>;

/**
 * Makes the snapshots of this node's instances, and removes their files when they are deleted.
 *
 * `status.nodeName` is written before anything is made, then the finalizer: so each file belongs to an object that waits
 * for it, and a snapshot that is pending here when the node agent starts was cut off. Files whose object is not there are
 * removed when the API says of this very snapshot that it is gone.
 */
export class NodeSnapshots {
  readonly #options: NodeSnapshotsOptions;
  readonly #snapshots: Informer<Snapshot>;
  readonly #queue: WorkQueue;
  /** Those this process began, by uid: pending does not mean cut off. */
  readonly #begun = new Set<string>();
  /** What ends the making of one, by uid. */
  readonly #making = new Map<string, AbortController>();
  /** By key, those that may have gone. */
  readonly #missed = new Map<string, SnapshotIdentity[]>();

  constructor(options: NodeSnapshotsOptions) {
    const { client, clock, logger } = options;
    this.#options = options;
    this.#snapshots = new Informer(resources.snapshots, { client, clock, logger });
    this.#queue = new WorkQueue({ name: "snapshots", clock, logger });
  }

  /** Works until the signal aborts; what is being made then is given up. */
  async run(signal: AbortSignal): Promise<void> {
    const { files, logger } = this.#options;
    const known = await files.load(logger);
    this.#snapshots.onChange((key, current, previous) => {
      const { uid = "" } = previous?.metadata ?? {};
      const isGone = previous !== undefined && current?.metadata.uid !== uid;
      if (isGone) this.#miss(key, previous);
      if (isGone || current?.metadata.deletionTimestamp !== undefined) {
        this.#making.get(uid)?.abort(new Error("the snapshot was deleted"));
      }
      this.#queue.add(key);
    });
    const informing = this.#snapshots.run(signal);
    await this.#snapshots.ready;
    const present = new Set([...this.#snapshots.values()].map(({ metadata }) => metadata.uid));
    for (const { uid, namespace, name } of known) {
      if (present.has(uid)) continue;
      this.#miss(`${namespace}/${name}`, { metadata: { uid, namespace, name } });
    }
    if (known.length > 0) logger.info({ snapshots: known.length }, "found snapshots");
    await this.#queue.run(async (key) => await this.#reconcile(key, signal), signal);
    await informing;
  }

  #miss(key: string, snapshot: SnapshotIdentity): void {
    this.#missed.set(key, [...(this.#missed.get(key) ?? []), snapshot]);
    this.#queue.add(key);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    for (const missed of this.#missed.get(key) ?? []) {
      if ((await this.#find(missed, signal)) === undefined) await this.#discard(missed);
    }
    this.#missed.delete(key);
    const snapshot = this.#snapshots.get(key);
    if (snapshot === undefined) return;
    const { uid = "", deletionTimestamp, finalizers = [] } = snapshot.metadata;
    const { phase = "Pending", nodeName } = snapshot.status ?? {};
    const isOurs = nodeName === this.#options.nodeName;
    if (deletionTimestamp !== undefined || phase === "Failed") {
      if (!isOurs || !finalizers.includes(snapshotFinalizer)) return;
      await this.#discard(snapshot);
      await this.#setFinalizer(snapshot, false, signal);
    } else if (phase === "Ready") {
      const isThere = !isOurs || (await this.#options.files.read(uid)) !== undefined;
      if (!isThere) await this.#fail(snapshot, "its files are no longer there", signal);
    } else if (this.#begun.has(uid)) {
      // The copy here is older than what this process has written.
    } else if (isOurs) {
      await this.#fail(snapshot, "interrupted: the service ended while it was made", signal);
    } else if (nodeName === undefined) await this.#take(snapshot, signal);
  }

  async #take(snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const { uid = "" } = snapshot.metadata;
    const deleted = new AbortController();
    this.#making.set(uid, deleted);
    try {
      const pod = await this.#podOf(snapshot, signal);
      // Another node's.
      if (pod === undefined) return;
      this.#begun.add(uid);
      await this.#make(snapshot, pod, AbortSignal.any([deleted.signal, signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (deleted.signal.aborted || isNotFound(error)) await this.#discard(snapshot);
      else {
        this.#begun.add(uid);
        logger.warn({ snapshot: keyOf(snapshot), reason: describeError(error) }, "a snapshot failed");
        await this.#fail(snapshot, messageOf(error), signal);
      }
    } finally {
      this.#making.delete(uid);
    }
    // What happened to the object meanwhile was not looked at.
    this.#queue.add(keyOf(snapshot));
  }

  async #make(snapshot: Snapshot, pod: SavablePod, signal: AbortSignal): Promise<void> {
    const { images, files, clock, nodeName, events } = this.#options;
    const { uid = "", name, namespace = "" } = snapshot.metadata;
    const { podName } = snapshot.spec;
    const podUID = pod.pod.metadata.uid ?? "";
    await this.#write(snapshot, { phase: "Pending", nodeName, podUID, message: `${podName} is being saved` }, signal);
    await this.#setFinalizer(snapshot, true, signal);
    for (const digest of pod.imageDigests) await images.hold(digest, uid);
    const { podTemplate, containers, summary } = await pod.save(files.directoryOf(uid), signal);
    await files.finish({ uid, namespace, name, podTemplate, containers });
    signal.throwIfAborted();
    const pauseMillis = Math.round(summary.pausedMs * 1000) / 1000;
    await this.#write(
      snapshot,
      {
        phase: "Ready",
        message: null,
        nodeName,
        podUID,
        sizeBytes: summary.sizeBytes,
        completedAt: formatTime(clock.nowMs()),
        pauseMillis,
        podTemplate,
      },
      signal,
    );
    const told = `Kept in snapshot ${name}; it stood still for ${Math.ceil(pauseMillis)} ms`;
    events.normal(pod.pod, "Snapshotted", told);
  }

  /** The instance to be saved; undefined when it is another node's. Throws when it is nobody's. */
  async #podOf(snapshot: Snapshot, signal: AbortSignal): Promise<SavablePod | undefined> {
    const { client, findPod, nodeName } = this.#options;
    const { namespace } = snapshot.metadata;
    const { podName } = snapshot.spec;
    const found = findPod(namespace ?? "", podName);
    if (found !== undefined) return found;
    const refuse = (why: string, remedy: string): NodeError =>
      new NodeError(why, { code: "NotRunning", stage: "snapshot", object: podName, remedy });
    let pod: Pod;
    try {
      pod = await client.get(resources.pods, namespace, podName, { signal });
    } catch (error) {
      if (isNotFound(error)) throw refuse(`there is no instance ${podName}`, "`isopod ps` lists them.");
      throw error;
    }
    if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== nodeName) return undefined;
    throw refuse(`the instance ${podName} does not run yet`, "Take the snapshot when it does.");
  }

  async #fail(snapshot: Snapshot, message: string, signal: AbortSignal): Promise<void> {
    const { nodeName } = this.#options;
    try {
      // Told also when something of it cannot be removed: that is tried again for one that has failed.
      await runAll([
        async () => await this.#discard(snapshot),
        async () => await this.#write(snapshot, { phase: "Failed", nodeName, message }, signal),
      ]);
      await this.#setFinalizer(snapshot, false, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Removes what there is of it on this node. */
  async #discard({ metadata: { uid = "" } }: SnapshotIdentity): Promise<void> {
    await this.#options.files.remove(uid);
    await this.#options.images.release(uid);
  }

  /** Undefined when the API says that this very snapshot is gone. */
  async #find({ metadata }: SnapshotIdentity, signal: AbortSignal): Promise<Snapshot | undefined> {
    const { client } = this.#options;
    try {
      const found = await client.get(resources.snapshots, metadata.namespace, metadata.name, { signal });
      return found.metadata.uid === metadata.uid ? found : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Throws `NotFound` when it is gone; while the API does not answer, it is asked again. */
  async #write(
    { metadata: { uid, namespace, name } }: Snapshot,
    status: Omit<Status, "message"> & { readonly message: string | null },
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#options;
    const patch = { metadata: { uid }, status };
    await this.#persist(signal, async () => {
      await client.patch(resources.snapshots, namespace, name, patch, { subresource: "status", signal });
    });
  }

  async #setFinalizer(snapshot: Snapshot, isWanted: boolean, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    await this.#persist(signal, async () => {
      const found = await this.#find(snapshot, signal);
      if (found === undefined) return;
      const { uid, namespace, name, resourceVersion, finalizers = [] } = found.metadata;
      if (finalizers.includes(snapshotFinalizer) === isWanted) return;
      const others = finalizers.filter((one) => one !== snapshotFinalizer);
      const patch = {
        metadata: { uid, resourceVersion, finalizers: isWanted ? [...others, snapshotFinalizer] : others },
      };
      try {
        await client.patch(resources.snapshots, namespace, name, patch, { signal });
      } catch (error) {
        if (isWanted || !isNotFound(error)) throw error;
      }
    });
  }

  async #persist(signal: AbortSignal, action: () => Promise<void>): Promise<void> {
    const isRetryable = (error: unknown): boolean => !isNotFound(error) && !isInvalid(error);
    await retry(action, { clock: this.#options.clock, signal, initialMs: 50, maxMs: 5000, isRetryable });
  }
}

/** What failed, and what to do about it. */
function messageOf(error: unknown): string {
  const remedy = error instanceof IsopodError && error.remedy !== undefined ? `. ${error.remedy}` : "";
  return `${describeError(error)}${remedy}`;
}
