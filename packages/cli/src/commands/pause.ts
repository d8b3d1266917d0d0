import {
  isPaused,
  isPauseWanted,
  type Pod,
  type PodCondition,
  pausedAnnotation,
  pausedCondition,
  pauseFailedReason,
  resources,
} from "@isopod/api";
import { CliError } from "../cli-error.ts";
import { type CommandContext, type GlobalOptions, openContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { catchInterruption, interruptedStatus } from "../interruption.ts";
import { note, print, printJson } from "../output.ts";
import { isOver, requireRunning, waitForPod } from "../pod-wait.ts";

/** `isopod pause NAME…`: stops instances where they are, and waits until they stand still. */
export async function pause(names: readonly string[], options: GlobalOptions): Promise<number> {
  return await changeAll(names, options, true);
}

/** `isopod resume NAME…`: lets paused instances go on from where they were, and waits until they do. */
export async function resume(names: readonly string[], options: GlobalOptions): Promise<number> {
  return await changeAll(names, options, false);
}

async function changeAll(names: readonly string[], options: GlobalOptions, toPaused: boolean): Promise<number> {
  using context = await openContext(options);
  using stop = catchInterruption();
  const { done, isAll } = await eachName(names, async (name) => {
    try {
      await change(context, name, toPaused, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      const back = `isopod ${toPaused ? "resume" : "pause"} ${name}`;
      throw new CliError(`interrupted; ${name} is still to be ${toPaused ? "paused" : "resumed"}`, {
        code: "Refused",
        object: name,
        remedy: `\`${back}\` takes it back.`,
      });
    }
    if (!context.isJson) print(name);
  });
  if (context.isJson) printJson(toPaused ? { paused: done } : { resumed: done });
  if (stop.signal.aborted) return interruptedStatus;
  return isAll ? 0 : 1;
}

/** A change that takes longer than this is worth a word. */
const patienceMs = 3000;

async function change(
  { client, namespace }: CommandContext,
  name: string,
  toPaused: boolean,
  signal: AbortSignal,
): Promise<void> {
  const before = await client.get(resources.pods, namespace, name, { signal });
  const word = toPaused ? "paused" : "resumed";
  // What waits to start may be told to start running, but there is nothing to pause yet.
  if (toPaused || isOver(before) || before.metadata.deletionTimestamp !== undefined)
    requireRunning(before, `be ${word}`);
  const wasWanted = isPauseWanted(before) === toPaused;
  if (wasWanted && isPaused(before) === toPaused) {
    note(toPaused ? `${name} is paused already` : `${name} is not paused`);
    return;
  }
  const asked = await client.patch(
    resources.pods,
    namespace,
    name,
    // The uid keeps another instance of that name from being paused.
    { metadata: { uid: before.metadata.uid, annotations: { [pausedAnnotation]: toPaused ? "true" : null } } },
    { signal },
  );
  // What went wrong at an earlier attempt is no answer to this one, unless this one asks for nothing new.
  const stale = wasWanted ? undefined : JSON.stringify(failureOf(before));
  const isFailed = (pod: Pod): boolean => {
    const failure = failureOf(pod);
    return failure !== undefined && JSON.stringify(failure) !== stale;
  };
  const impatience = setTimeout(() => {
    note(`waiting for ${name} to be ${word}; \`kubectl describe pod ${name}\` tells more`);
  }, patienceMs);
  let settled: Pod;
  try {
    settled = await waitForPod(
      client,
      asked,
      (pod) => {
        const isGivenUp =
          isOver(pod) || pod.metadata.deletionTimestamp !== undefined || isPauseWanted(pod) !== toPaused;
        return isPaused(pod) === toPaused || isGivenUp || isFailed(pod);
      },
      signal,
    );
  } finally {
    clearTimeout(impatience);
  }
  if (isOver(settled) || settled.metadata.deletionTimestamp !== undefined) requireRunning(settled, `be ${word}`);
  if (isPauseWanted(settled) !== toPaused) {
    throw new CliError(`${name} was ${toPaused ? "resumed" : "paused"} by somebody else meanwhile`, {
      code: "Refused",
      object: name,
    });
  }
  if (isPaused(settled) === toPaused) return;
  throw new CliError(`${name} could not be ${word}: ${failureOf(settled)?.message ?? "no reason was given"}`, {
    code: "Refused",
    object: name,
    ...(toPaused ? { remedy: `\`isopod resume ${name}\` takes the request back.` } : {}),
  });
}

function failureOf(pod: Pod): PodCondition | undefined {
  return pod.status?.conditions?.find(({ type, reason }) => type === pausedCondition && reason === pauseFailedReason);
}
