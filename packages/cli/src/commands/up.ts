import { spawn } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { createLogger, type LogLevel, systemClock, systemErrorCode } from "@isopod/base";
import type { ServiceSettings } from "@isopod/service";
import { CliError } from "../cli-error.ts";
import { dataDirectoryOf, type GlobalOptions } from "../context.ts";
import { note, print, printJson } from "../output.ts";

export interface UpOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly host?: string;
  readonly port?: string;
  readonly kubeletPort?: string;
  readonly nodeName?: string;
  readonly accelerator?: "auto" | "kvm" | "tcg";
  readonly cpuOvercommit?: string;
  readonly memoryOvercommit?: string;
  readonly maxPods?: string;
  readonly registryStallTimeout?: string;
  readonly logLevel?: LogLevel;
}

/** The process that serves a data directory, from its `ready.json`; undefined when none runs. */
export async function runningService(
  readyPath: string,
): Promise<{ readonly url: string; readonly pid: number } | undefined> {
  let text: string;
  try {
    text = await readFile(readyPath, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const { url, pid } = JSON.parse(text) as { url: string; pid: number };
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  // After a crash or reboot the number may be somebody else's.
  return commandLine.includes("/cli/src/main.ts\0up\0") ? { url, pid } : undefined;
}

async function settingsOf(options: UpOptions): Promise<ServiceSettings> {
  // Only `up` pays for loading the whole service.
  const { defaultSettings } = await import("@isopod/service");
  const settings = defaultSettings(dataDirectoryOf(options));
  const number = (text: string | undefined, fallback: number): number => (text === undefined ? fallback : Number(text));
  return {
    ...settings,
    host: options.host ?? settings.host,
    port: number(options.port, settings.port),
    kubeletPort: number(options.kubeletPort, settings.kubeletPort),
    nodeName: options.nodeName ?? settings.nodeName,
    accelerator: options.accelerator ?? settings.accelerator,
    cpuOvercommit: number(options.cpuOvercommit, settings.cpuOvercommit),
    memoryOvercommit: number(options.memoryOvercommit, settings.memoryOvercommit),
    maxPods: number(options.maxPods, settings.maxPods),
    registryStallMs: number(options.registryStallTimeout, settings.registryStallMs / 1000) * 1000,
  };
}

/** `isopod up`: runs the service until SIGINT or SIGTERM; with `-d` in the background, returning when it is ready. */
export async function up(options: UpOptions): Promise<number> {
  const { requireRoot, servicePaths, startService } = await import("@isopod/service");
  requireRoot();
  const paths = servicePaths(dataDirectoryOf(options));
  const running = await runningService(paths.ready);
  if (running !== undefined) {
    if (options.detach === true) {
      note(`isopod is up already at ${running.url} (process ${running.pid})`);
      tell(options, running.url, paths.kubeconfig);
      return 0;
    }
    throw new CliError(`isopod is up already at ${running.url} (process ${running.pid})`, {
      code: "AlreadyRunning",
      object: dataDirectoryOf(options),
      remedy: "Use it, stop it with `isopod down`, or start another with a --data-dir and ports of its own.",
    });
  }
  if (options.detach === true) return await detach(options, paths);
  const logger = createLogger(options.logLevel ?? "info");
  const service = await startService(await settingsOf(options), logger, (step) => logger.info({ step }, "starting"));
  tell(options, service.url, service.kubeconfigPath);
  await new Promise<void>((finish) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => finish());
  });
  note("stopping; instances go on");
  await service.stop();
  return 0;
}

function tell(options: UpOptions, url: string, kubeconfig: string): void {
  if (options.output === "json") return printJson({ url, kubeconfig });
  print(
    `isopod is up at ${url}\nEvery credential written so far is an administrator's; the node agent has its own.\n  export KUBECONFIG=${kubeconfig}`,
  );
}

async function detach(
  options: UpOptions,
  paths: { readonly log: string; readonly ready: string; readonly kubeconfig: string },
): Promise<number> {
  await mkdir(dirname(paths.log), { recursive: true, mode: 0o711 });
  const log = await open(paths.log, "a", 0o600);
  const { size: logStart } = await log.stat();
  const args = process.argv.slice(1).filter((arg) => arg !== "-d" && arg !== "--detach");
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    cwd: "/",
    env: { ...process.env, ISOPOD_DATA_DIR: dataDirectoryOf(options) },
  });
  await log.close();
  let exitCode: number | null | undefined;
  child.once("exit", (code) => {
    exitCode = code;
  });
  const startedMs = systemClock.monotonicMs();
  let told = 0;
  for (;;) {
    const ready = await runningService(paths.ready);
    if (ready !== undefined && ready.pid === child.pid) {
      child.unref();
      tell(options, ready.url, paths.kubeconfig);
      return 0;
    }
    if (exitCode !== undefined) {
      const text = (await readFile(paths.log)).subarray(logStart).toString("utf8").trim();
      const lines = text.split("\n");
      const own = lines.filter((line) => !line.startsWith("{"));
      throw new CliError(
        (own.length > 0 ? own : lines)
          .slice(-6)
          .join("\n")
          .replace(/^isopod: /, ""),
        {
          code: "StartFailed",
          stage: "start",
          object: paths.log,
          remedy: `The whole log is in ${resolve(paths.log)}.`,
        },
      );
    }
    const waitedMs = systemClock.monotonicMs() - startedMs;
    if (waitedMs > 1000 * (told + 1)) {
      told = Math.floor(waitedMs / 1000);
      if (told === 1 || told % 5 === 0) note(`starting the service … ${told} s (log: ${paths.log})`);
    }
    // The child tells by a file that appears once; a tenth of a second is not noticed by a person.
    await systemClock.sleep(100);
  }
}
