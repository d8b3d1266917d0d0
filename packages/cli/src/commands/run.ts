import { type Pod, resources } from "@isopod/api";
import { IsopodError, systemClock } from "@isopod/base";
import { pathOf, openWebSocket } from "@isopod/client";
import { CliError } from "../cli-error.ts";
import { type CommandContext, type GlobalOptions, openContext } from "../context.ts";
import { formatTable, note, print, printJson } from "../output.ts";
import { catchInterruption, interruptedStatus } from "../interruption.ts";
import { deleteAndWait, requestDeletion } from "../object-wait.ts";
import { podManifest, type RunOptions } from "../pod-manifest.ts";
import { hasStarted, isOver, mainStatus, obstacle, waitForPod } from "../pod-wait.ts";
import { startStages } from "../start-timing.ts";
import { channelProtocol, joinTerminal } from "../terminal.ts";

export interface RunCommandOptions extends GlobalOptions, RunOptions {
  readonly detach?: boolean;
  readonly rm?: boolean;
  readonly timing?: boolean;
}

const nowMicros = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000);

/**
 * `isopod run IMAGE -- CMD…`: creates the pod, streams its output and ends with the container's exit code.
 * 125 when it could not be started at all, as Docker.
 */
export async function run(image: string, args: readonly string[], options: RunCommandOptions): Promise<number> {
  using context = await openContext(options);
  const { client, namespace, isJson } = context;
  const manifest = podManifest(namespace, image, args, options);
  const sentMicros = nowMicros();
  const created = await create(context, manifest);
  const acceptedMicros = nowMicros();
  if (options.detach === true) {
    if (isJson) printJson(created);
    else print(created.metadata.name);
    return 0;
  }
  using stop = catchInterruption();
  let isKept = options.rm !== true;
  try {
    const isReady = (pod: Pod): boolean => isOver(pod) || obstacle(pod) !== undefined || hasStarted(pod);
    const telling = new AbortController();
    const tell = tellTroubles(context, created, AbortSignal.any([telling.signal, stop.signal]));
    const started = await waitForPod(client, created, isReady, stop.signal).finally(() => telling.abort());
    await tell;
    const problem = isOver(started) ? undefined : obstacle(started);
    if (problem !== undefined) {
      // It never ran: leaving it behind would only make the next `run --name` fail.
      isKept = false;
      throw problem;
    }
    let firstOutputMicros: number | undefined;
    const onOutput = (): void => {
      firstOutputMicros ??= nowMicros();
    };
    let last = started;
    if (options.tty === true || options.interactive === true) await attach(context, started, options);
    else last = await streamAttempts(context, started, onOutput, stop.signal);
    const ended = await waitForPod(client, last, isOver, stop.signal);
    const terminated = mainStatus(ended)?.state?.terminated;
    const exitCode = terminated?.exitCode ?? 1;
    if (isJson) printJson(ended);
    if (terminated !== undefined && exitCode !== 0 && terminated.reason !== "Error") {
      note(
        `isopod: ${terminated.reason ?? "failed"}${terminated.message === undefined ? "" : `: ${terminated.message}`}`,
      );
    } else if (terminated === undefined && ended.status?.message !== undefined) note(`isopod: ${ended.status.message}`);
    if (options.timing === true) {
      const stages = startStages(ended, { sentMicros, acceptedMicros, firstOutputMicros });
      note(
        formatTable(
          ["STAGE", "MS"],
          stages.map(({ stage, ms }) => [stage, ms.toFixed(1)]),
        ),
      );
    }
    return exitCode;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    note("\nisopod: interrupted");
    isKept = false;
    return interruptedStatus;
  } finally {
    if (!isKept) await remove(context, created, stop.signal.aborted);
  }
}

/** Throws {@link CliError} with status 125: as Docker, refused is told apart from what the container ended with. */
async function create({ client }: CommandContext, manifest: Pod): Promise<Pod> {
  try {
    return await client.create(resources.pods, manifest, { onWarning: (text) => note(`Warning: ${text}`) });
  } catch (cause) {
    throw new CliError(`the instance ${manifest.metadata.name} was not created`, {
      code: "Refused",
      object: manifest.metadata.name,
      cause,
      exitStatus: 125,
      ...(cause instanceof IsopodError && cause.remedy !== undefined ? { remedy: cause.remedy } : {}),
    });
  }
}

/** A start that takes longer than this is worth a word. */
const patienceMs = 3000;

/** While an instance does not start: what its events warn of, each once. */
async function tellTroubles({ client, namespace }: CommandContext, pod: Pod, signal: AbortSignal): Promise<void> {
  const told = new Set<string>();
  for (;;) {
    try {
      await systemClock.sleep(patienceMs, signal);
      const fieldSelector = `involvedObject.uid=${pod.metadata.uid},type=Warning`;
      for (const { message = "" } of (await client.list(resources.events, { namespace, fieldSelector, signal }))
        .items) {
        if (!told.has(message)) note(`isopod: not started yet: ${message}`);
        told.add(message);
      }
    } catch {
      // The instance has started, or the main call tells what is wrong.
      return;
    }
  }
}

/** The output of this attempt and, with a restart policy, of those that follow; resolves with the pod that is over. */
async function streamAttempts(
  context: CommandContext,
  started: Pod,
  onOutput: () => void,
  signal: AbortSignal,
): Promise<Pod> {
  for (let current = started; ; ) {
    const attempt = mainStatus(current)?.restartCount ?? 0;
    await streamLogs(context, current, onOutput, signal);
    const isNext = (pod: Pod): boolean => {
      const status = mainStatus(pod);
      return isOver(pod) || ((status?.restartCount ?? 0) > attempt && status?.state?.waiting === undefined);
    };
    current = await waitForPod(context.client, current, isNext, signal);
    if (isOver(current) && (mainStatus(current)?.restartCount ?? 0) <= attempt) return current;
  }
}

/** Both streams at once, each to its own descriptor. */
async function streamLogs(
  { client }: CommandContext,
  pod: Pod,
  onOutput: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name } = pod.metadata;
  const container = pod.spec.containers[0]?.name ?? "";
  const copy = async (stream: "Stdout" | "Stderr", target: NodeJS.WriteStream): Promise<void> => {
    const answer = await client.send("GET", pathOf(resources.pods, namespace, name, "log"), {
      query: { container, follow: true, stream },
      accept: "*/*",
      signal,
      timeoutMs: 0,
    });
    for await (const chunk of answer.body) {
      onOutput();
      if (!target.write(chunk)) await new Promise<void>((resolve) => target.once("drain", resolve));
    }
  };
  await Promise.all([copy("Stdout", process.stdout), copy("Stderr", process.stderr)]);
}

async function attach({ client }: CommandContext, pod: Pod, options: RunCommandOptions): Promise<void> {
  const { namespace, name } = pod.metadata;
  const socket = await openWebSocket(client, pathOf(resources.pods, namespace, name, "attach"), [channelProtocol], {
    container: pod.spec.containers[0]?.name ?? "",
    stdin: options.interactive === true,
    stdout: true,
    stderr: options.tty !== true,
    tty: options.tty === true,
  });
  await joinTerminal(socket, { hasStdin: options.interactive === true, isTerminal: options.tty === true });
}

/** Of one that runs no more, until nothing is left of it: its name is free then. One that does has time to stop. */
async function remove({ client }: CommandContext, pod: Pod, isInterrupted: boolean): Promise<void> {
  if (isInterrupted) await requestDeletion(client, resources.pods, pod);
  else await deleteAndWait(client, resources.pods, pod);
}
