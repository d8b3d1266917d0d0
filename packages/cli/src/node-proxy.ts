import { resources } from "@isopod/api";
import { type KubeClient, pathOf, readLines } from "@isopod/client";
import { CliError } from "./cli-error.ts";
import { note } from "./output.ts";

export interface NodeOptions {
  readonly node?: string;
}

/** The node that is meant: the one named, or the only one. Throws {@link CliError} `Usage` when it cannot be known. */
export async function nodeOf(client: KubeClient, { node: name }: NodeOptions): Promise<string> {
  if (name !== undefined) return name;
  const { items } = await client.list(resources.nodes);
  const [only, ...others] = items.map((node) => node.metadata.name);
  if (only !== undefined && others.length === 0) return only;
  throw new CliError(only === undefined ? "no node has registered" : "there are several nodes", {
    code: "Usage",
    object: "--node",
    remedy:
      only === undefined
        ? "Wait for `isopod up` to be ready."
        : `Name one with --node: ${[only, ...others].join(", ")}.`,
  });
}

/** A path of a node's own API, such as `/images`. */
export function nodePath(node: string, path: string): string {
  return `${pathOf(resources.nodes, undefined, node, "proxy")}${path}`;
}

interface FailureLine {
  readonly error: { readonly message: string; readonly stage?: string; readonly remedy?: string };
}

/**
 * Reads an answer in JSON lines: each `{progress}` is shown on standard error, the last line is returned.
 * `describe` gives a step's name and what is known of its amount. Throws {@link CliError} `Refused` for an `{error}`.
 */
export async function followLines<Progress, Outcome extends object>(
  body: AsyncIterable<Uint8Array>,
  object: string,
  describe: (progress: Progress) => readonly [step: string, amount: string],
): Promise<Outcome> {
  let shown = "";
  for await (const text of readLines(body)) {
    const line = JSON.parse(text) as { readonly progress: Progress } | FailureLine | Outcome;
    if ("error" in line) {
      const { message, stage, remedy } = line.error;
      throw new CliError(message, {
        code: "Refused",
        object,
        ...(stage === undefined ? {} : { stage }),
        ...(remedy === undefined ? {} : { remedy }),
      });
    }
    if (!("progress" in line)) {
      if (process.stderr.isTTY && shown !== "") process.stderr.write("\r\u001b[K");
      return line;
    }
    const [step, amount] = describe(line.progress);
    // On a terminal one line that moves, elsewhere one line per step.
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${step}${amount}`);
    else if (step !== shown) note(`${step}${amount}`);
    shown = step;
  }
  throw new CliError("the node's answer broke off", {
    code: "Refused",
    object,
    remedy: "See the service's log, and try again.",
  });
}
