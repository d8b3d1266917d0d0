import { isNotFound, isopodApiVersion, resources, type Snapshot } from "@isopod/api";
import { CliError } from "./cli-error.ts";
import type { CommandContext } from "./context.ts";
import { waitForObject } from "./object-wait.ts";
import { note } from "./output.ts";
import { requireRunning } from "./pod-wait.ts";

/**
 * Makes a snapshot of a running instance and waits until it is ready. One that fails, or that is not waited for to the
 * end, is deleted: the instance runs on. Without a name it gets the instance's and five letters.
 * Throws {@link CliError} when the instance does not run, or with the node's word why it failed.
 */
export async function takeSnapshot(
  { client, namespace }: CommandContext,
  podName: string,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Snapshot> {
  requireRunning(await client.get(resources.pods, namespace, podName, { signal }), "be kept in a snapshot");
  const created = await client.create(resources.snapshots, {
    apiVersion: isopodApiVersion,
    kind: "Snapshot",
    metadata: { namespace, ...(name === undefined ? { name: "", generateName: `${podName}-` } : { name }) },
    spec: { podName },
  });
  let told: string | undefined;
  const isDone = ({ status }: Snapshot): boolean => {
    if (status?.phase === "Ready" || status?.phase === "Failed") return true;
    if (status?.message !== undefined && status.message !== told) note(status.message);
    told = status?.message;
    return false;
  };
  try {
    const ended = await waitForObject(client, resources.snapshots, created, "snapshot", isDone, signal);
    if (ended.status?.phase === "Ready") return ended;
    throw new CliError(`${podName}: ${ended.status?.message ?? "no reason was given"}`, {
      code: "Refused",
      stage: "snapshot",
      object: podName,
      remedy: `The instance runs on; \`kubectl describe pod ${podName}\` may tell more.`,
    });
  } catch (error) {
    await discardSnapshot({ client }, created);
    throw error;
  }
}

/** Deletes a snapshot that nobody will use. What keeps it from being deleted is told, and no more than that. */
export async function discardSnapshot(
  { client }: Pick<CommandContext, "client">,
  { metadata }: Snapshot,
): Promise<void> {
  const { namespace, name, uid = "" } = metadata;
  try {
    await client.delete(resources.snapshots, namespace, name, { body: { preconditions: { uid } } });
  } catch (error) {
    if (isNotFound(error)) return;
    note(`the snapshot ${name} could not be deleted; \`isopod snapshot rm ${name}\` does it`);
  }
}
