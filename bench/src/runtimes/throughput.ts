import { setTimeout as delay } from "node:timers/promises";
import type { Instance } from "./contender.ts";
import { reasonOf } from "./measurements.ts";

const seconds = 4;
/** An emulated guest takes seconds to load the server. */
const listenTimeoutMs = 30_000;

/** What arrived, in Mbit/s, from the JSON of an iperf3 client. Throws with iperf3's own reason. */
export function parseIperf(output: string): number {
  const { error, end } = JSON.parse(output) as {
    readonly error?: string;
    readonly end?: { readonly sum_received?: { readonly bits_per_second?: number } };
  };
  const bits = end?.sum_received?.bits_per_second;
  if (error !== undefined || bits === undefined) throw new Error(error ?? "iperf3 tells no rate");
  return bits / 1e6;
}

/** TCP from one instance to another; the first second is not counted. */
export async function measureThroughput(from: Instance, to: Instance, signal: AbortSignal): Promise<number> {
  const ended = new AbortController();
  const server = to.exec(["iperf3", "--server", "--one-off"], AbortSignal.any([signal, ended.signal]));
  server.catch(() => {});
  try {
    const client = ["iperf3", "--client", to.address, "--json", "--omit", "1", "--time", String(seconds)];
    for (const began = performance.now(); ; ) {
      try {
        return parseIperf(await from.exec(client, signal));
      } catch (error) {
        const isEarly = refused(error) && performance.now() - began < listenTimeoutMs;
        if (!isEarly) throw error;
        await delay(500, undefined, { signal });
      }
    }
  } finally {
    ended.abort();
  }
}

function refused(error: unknown): boolean {
  const output = error instanceof Error && "stdout" in error ? String(error.stdout) : "";
  return /refused/i.test(output + reasonOf(error));
}
