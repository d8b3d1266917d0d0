import type { Instance } from "./contender.ts";
import type { Measurements } from "./measurements.ts";

const count = 200;

/** Round-trip times in milliseconds from the output of ping. */
export function parsePing(output: string): readonly number[] {
  return [...output.matchAll(/ time=([\d.]+) ms$/gm)].map(([, time]) => Number(time));
}

/** The gateway from the output of `ip route`. */
export function parseGateway(output: string): string {
  const gateway = /^default via ([\d.]+)/m.exec(output)?.[1];
  if (gateway === undefined) throw new Error(`no default route in: ${output.trim()}`);
  return gateway;
}

async function ping(from: Instance, address: string, signal: AbortSignal): Promise<readonly number[]> {
  // The first packet asks for the neighbour's address, and the first run loads the program.
  await from.exec(["ping", "-n", "-c", "3", "-i", "0.2", address], signal);
  const output = await from.exec(["ping", "-n", "-c", String(count), "-i", "0.01", "-W", "5", address], signal);
  const times = parsePing(output);
  if (times.length < count * 0.95) throw new Error(`${times.length} of ${count} pings to ${address} were answered`);
  return times;
}

export async function measurePing(
  name: string,
  one: Instance,
  other: Instance,
  signal: AbortSignal,
  measurements: Measurements,
  topic: string,
): Promise<void> {
  const gateway = parseGateway(await one.exec(["ip", "route"], signal));
  measurements.add(topic, "ping, instance to gateway", name, "ms", await ping(one, gateway, signal));
  measurements.add(topic, "ping, instance to instance", name, "ms", await ping(one, other.address, signal));
}
