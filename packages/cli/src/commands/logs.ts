import { resources } from "@isopod/api";
import { openWebSocket, pathOf } from "@isopod/client";
import { pipeline } from "node:stream/promises";
import { CliError } from "../cli-error.ts";
import { type GlobalOptions, openContext } from "../context.ts";
import { channelProtocol, joinTerminal } from "../terminal.ts";

export interface LogsOptions extends GlobalOptions {
  readonly container?: string;
  readonly follow?: boolean;
  readonly tail?: string;
  readonly since?: string;
  readonly timestamps?: boolean;
  readonly previous?: boolean;
}

/** `90s`, `5m`, `1h30m` → seconds. */
export function parseDurationSeconds(text: string): number {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (match === null || text === "") {
    throw new CliError(`--since ${text} is not a duration`, {
      code: "Usage",
      object: "--since",
      remedy: "Write it as in 90s, 5m or 1h30m.",
    });
  }
  return Number(match[1] ?? 0) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0);
}

/** `isopod logs NAME`. */
export async function logs(name: string, options: LogsOptions): Promise<number> {
  using context = await openContext(options);
  const { client, namespace } = context;
  const answer = await client.send("GET", pathOf(resources.pods, namespace, name, "log"), {
    query: {
      container: options.container,
      follow: options.follow,
      tailLines: options.tail,
      sinceSeconds: options.since === undefined ? undefined : parseDurationSeconds(options.since),
      timestamps: options.timestamps,
      previous: options.previous,
    },
    accept: "*/*",
    timeoutMs: 0,
  });
  await pipeline(answer.body, process.stdout, { end: false });
  return 0;
}

export interface ExecOptions extends GlobalOptions {
  readonly container?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
}

/** `isopod exec NAME -- CMD…`: ends with the command's exit code. */
export async function exec(name: string, command: readonly string[], options: ExecOptions): Promise<number> {
  using context = await openContext(options);
  const { client, namespace } = context;
  const path = pathOf(resources.pods, namespace, name, "exec");
  const isTerminal = options.tty === true;
  const socket = await openWebSocket(client, path, [channelProtocol], {
    command,
    container: options.container,
    stdin: options.interactive === true,
    stdout: true,
    stderr: !isTerminal,
    tty: isTerminal,
  });
  return await joinTerminal(socket, { hasStdin: options.interactive === true, isTerminal });
}
