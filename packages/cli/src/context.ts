import { resolve } from "node:path";
import { systemErrorCode } from "@isopod/base";
import { KubeClient, loadKubeconfig } from "@isopod/client";
import { access } from "node:fs/promises";
import { CliError } from "./cli-error.ts";

/** Options every command takes. */
export interface GlobalOptions {
  readonly dataDir?: string;
  readonly kubeconfig?: string;
  readonly namespace?: string;
  readonly output: "text" | "json";
}

export function dataDirectoryOf(options: GlobalOptions): string {
  return resolve(options.dataDir ?? process.env["ISOPOD_DATA_DIR"] ?? "/var/lib/isopod");
}

/** `--kubeconfig`, `--data-dir`, the environment's KUBECONFIG, the default installation's: the first that is given. */
export function kubeconfigPathOf(options: GlobalOptions): string {
  if (options.kubeconfig !== undefined) return resolve(options.kubeconfig);
  const environment = process.env["KUBECONFIG"];
  const hasDirectory = options.dataDir !== undefined || process.env["ISOPOD_DATA_DIR"] !== undefined;
  if (!hasDirectory && environment !== undefined && environment !== "") return resolve(environment.split(":")[0] ?? "");
  return resolve(dataDirectoryOf(options), "kubeconfig");
}

export interface CommandContext extends Disposable {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly isJson: boolean;
}

/** A client of the installation the options name. Throws {@link CliError} `NotRunning` when there is none. */
export async function openContext(options: GlobalOptions): Promise<CommandContext> {
  const path = kubeconfigPathOf(options);
  try {
    await access(path);
  } catch (cause) {
    const isDenied = systemErrorCode(cause) === "EACCES";
    throw new CliError(isDenied ? `${path} may not be read` : `there is no kubeconfig at ${path}`, {
      code: "NotRunning",
      object: path,
      remedy: isDenied
        ? "Run as the user who started the service, or copy the kubeconfig to where you may read it."
        : "Start the service with `isopod up -d`, or name an installation with --data-dir or KUBECONFIG.",
      cause,
    });
  }
  const config = await loadKubeconfig(path);
  const client = new KubeClient({ ...config, userAgent: "isopod-cli" });
  return {
    client,
    namespace: options.namespace ?? config.namespace ?? "default",
    isJson: options.output === "json",
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}
