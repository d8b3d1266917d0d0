import { join } from "node:path";
import type { CommandOutput } from "@isopod/base";
import { commandNetworkError } from "../network-error.ts";
import { CommandShells, type RunCommand } from "./command-shells.ts";
import { namespaceDirectory } from "./names.ts";

/** One command of an nftables JSON document, see libnftables-json(5). */
export type NftCommand = Readonly<Record<string, unknown>>;

/**
 * The two programs that change the host's network, each call one process. Every method throws `NetworkError`
 * (`CommandFailed`, `MissingProgram`, `NotPermitted`) saying `what` failed for which `object`.
 */
export class HostCommands {
  readonly #run: RunCommand;

  constructor(run: RunCommand = new CommandShells().run) {
    this.#run = run;
  }

  /** Lines of `ip`, up to the first that fails; in the namespace if one is named. */
  async ipBatch(what: string, object: string, lines: readonly string[], namespace?: string): Promise<void> {
    const inside = namespace === undefined ? [] : ["-n", namespace];
    await this.#call(what, object, "ip", [...inside, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  /** Writes `sysctls` (path under /proc/sys to value) in the namespace, then runs the lines there: one process. */
  async sysctlAndIpBatch(
    what: string,
    object: string,
    sysctls: Readonly<Record<string, string>>,
    lines: readonly string[],
    namespace: string,
  ): Promise<void> {
    // The shell writes with its own `echo` and then becomes `ip`. A kernel without IPv6 lacks those files.
    const writes = Object.entries(sysctls).map(
      ([path, value]) => `[ ! -e /proc/sys/${path} ] || echo ${value} > /proc/sys/${path}`,
    );
    const script = `set -e; ${writes.join("; ")}; exec ip -batch -`;
    await this.#call(what, object, "nsenter", [netArgument(namespace), "sh", "-c", script], {
      input: `${lines.join("\n")}\n`,
    });
  }

  /** The JSON that `ip -j` prints; an empty print is an empty list. */
  async ipQuery(
    what: string,
    object: string,
    args: readonly string[],
    namespace?: string,
  ): Promise<readonly unknown[]> {
    const inside = namespace === undefined ? [] : ["-n", namespace];
    const { stdout } = await this.#call(what, object, "ip", [...inside, "-j", ...args]);
    if (stdout.trim() === "") return [];
    const answer: unknown = JSON.parse(stdout);
    if (!Array.isArray(answer)) throw new TypeError(`ip -j ${args.join(" ")} printed no JSON list`);
    return answer;
  }

  /** All commands in one transaction, in the namespace if one is named: all of them hold, or none. */
  async nft(what: string, object: string, commands: readonly NftCommand[], namespace?: string): Promise<void> {
    const input = JSON.stringify({ nftables: commands });
    if (namespace === undefined) await this.#call(what, object, "nft", ["-j", "-f", "-"], { input });
    else await this.#call(what, object, "nsenter", [netArgument(namespace), "nft", "-j", "-f", "-"], { input });
  }

  /** The entries of `nft -j list …` on the host. */
  async nftList(what: string, object: string, args: readonly string[]): Promise<readonly unknown[]> {
    const { stdout } = await this.#call(what, object, "nft", ["-j", "list", ...args]);
    const answer: unknown = JSON.parse(stdout);
    const entries = typeof answer === "object" && answer !== null && "nftables" in answer ? answer.nftables : undefined;
    if (!Array.isArray(entries)) throw new TypeError(`nft -j list ${args.join(" ")} printed no JSON list`);
    return entries;
  }

  async #call(
    what: string,
    object: string,
    program: string,
    args: readonly string[],
    options?: { readonly input: string },
  ): Promise<CommandOutput> {
    try {
      return await this.#run(program, args, options);
    } catch (error) {
      throw commandNetworkError(what, object, error);
    }
  }
}

function netArgument(namespace: string): string {
  return `--net=${join(namespaceDirectory, namespace)}`;
}
