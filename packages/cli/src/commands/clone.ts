import { isNotFound, type Pod, resources, type Snapshot } from "@isopod/api";
import { CliError } from "../cli-error.ts";
import { cloneManifest } from "../clone-manifest.ts";
import { type CommandContext, type GlobalOptions, openContext } from "../context.ts";
import { catchInterruption, interruptedStatus } from "../interruption.ts";
import { note, print, printJson } from "../output.ts";
import { hasStarted, isOver, obstacle, waitForPod } from "../pod-wait.ts";
import { discardSnapshot, takeSnapshot } from "../take-snapshot.ts";

export interface CloneOptions extends GlobalOptions {
  readonly snapshot?: string;
}

/**
 * `isopod clone POD [NEW]` or `isopod clone --snapshot S [NEW]`: a new instance that goes on from where the original was,
 * and waits until it runs. A snapshot that was made for it belongs to it, and goes with it.
 */
export async function clone(names: readonly string[], options: CloneOptions): Promise<number> {
  const { podName, newName } = readNames(names, options);
  using context = await openContext(options);
  using stop = catchInterruption();
  if (newName !== undefined) await requireFree(context, newName);
  try {
    const { client, namespace } = context;
    const made =
      podName === undefined
        ? await start(
            context,
            await client.get(resources.snapshots, namespace, options.snapshot ?? ""),
            newName,
            stop.signal,
          )
        : await startOwned(context, await takeSnapshot(context, podName, undefined, stop.signal), newName, stop.signal);
    if (context.isJson) printJson(made);
    else print(made.metadata.name);
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    note("\nisopod: interrupted; there is no clone");
    return interruptedStatus;
  }
}

interface Names {
  /** Undefined when a snapshot is named instead. */
  readonly podName: string | undefined;
  readonly newName: string | undefined;
}

function readNames(names: readonly string[], { snapshot }: CloneOptions): Names {
  const [first, second, ...rest] = names;
  if (snapshot !== undefined && second === undefined) return { podName: undefined, newName: first };
  if (snapshot === undefined && first !== undefined && rest.length === 0) return { podName: first, newName: second };
  throw new CliError(
    snapshot === undefined
      ? `clone takes an instance and the name of its clone, not ${names.length} names`
      : `with --snapshot, clone takes the name of the clone alone, not ${names.length} names`,
    {
      code: "Usage",
      object: "clone",
      remedy: "Write `isopod clone POD [NEW]` or `isopod clone --snapshot SNAPSHOT [NEW]`.",
      exitStatus: 2,
    },
  );
}

/** Asked before anything else: the original is not stopped for a clone that cannot have its name. */
async function requireFree({ client, namespace }: CommandContext, name: string): Promise<void> {
  try {
    await client.get(resources.pods, namespace, name);
  } catch (error) {
    if (isNotFound(error)) return;
    throw error;
  }
  throw new CliError(`there is an instance ${name} already`, {
    code: "Refused",
    object: name,
    remedy: "Choose another name, or none: then one is made.",
  });
}

/** Starts a clone from a snapshot that was made for it alone. */
async function startOwned(
  context: CommandContext,
  snapshot: Snapshot,
  newName: string | undefined,
  signal: AbortSignal,
): Promise<Pod> {
  const { client } = context;
  let isOwned = false;
  try {
    return await start(context, snapshot, newName, signal, async ({ metadata }) => {
      const owner = { apiVersion: "v1", kind: "Pod", name: metadata.name, uid: metadata.uid ?? "" };
      const { namespace, name, uid } = snapshot.metadata;
      await client.patch(resources.snapshots, namespace, name, { metadata: { uid, ownerReferences: [owner] } });
      isOwned = true;
    });
  } catch (error) {
    // From the moment it has an owner, it goes with that.
    if (!isOwned) await discardSnapshot(context, snapshot);
    throw error;
  }
}

/** A clone that cannot run is removed again, as `isopod run` does. */
async function start(
  { client }: CommandContext,
  snapshot: Snapshot,
  newName: string | undefined,
  signal: AbortSignal,
  onCreated: (pod: Pod) => Promise<void> = async () => {},
): Promise<Pod> {
  const manifest = cloneManifest(snapshot, newName);
  const created = await client.create(resources.pods, manifest, { onWarning: (text) => note(`Warning: ${text}`) });
  try {
    await onCreated(created);
    const isSettled = (pod: Pod): boolean =>
      isOver(pod) || obstacle(pod) !== undefined || (pod.status?.phase === "Running" && hasStarted(pod));
    const settled = await waitForPod(client, created, isSettled, signal);
    const problem = isOver(settled) ? failureOf(settled) : obstacle(settled);
    if (problem !== undefined) throw problem;
    return settled;
  } catch (error) {
    const { namespace, name, uid = "" } = created.metadata;
    await client
      .delete(resources.pods, namespace, name, { body: { preconditions: { uid } } })
      .catch((left: unknown) => {
        if (!isNotFound(left)) note(`the instance ${name} could not be removed; \`isopod rm ${name}\` does it`);
      });
    throw error;
  }
}

/** What was over at once may have done its work: only a failure is told. */
function failureOf({ metadata, status }: Pod): CliError | undefined {
  if (status?.phase !== "Failed") return undefined;
  const terminated = status.containerStatuses?.[0]?.state?.terminated;
  const why = status.message ?? status.reason ?? terminated?.message ?? terminated?.reason ?? "no reason was given";
  return new CliError(`${metadata.name}: ${why}`, { code: "Refused", stage: "clone", object: metadata.name });
}
