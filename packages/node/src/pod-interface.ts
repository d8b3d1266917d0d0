import type { NetworkInterface } from "@isopod/api";
import { untilAborted } from "@isopod/base";
import type { Informer } from "@isopod/client";

/** Resolves with the pod's interface once the ENI controller has made it. */
export async function interfaceOf(
  interfaces: Pick<Informer<NetworkInterface>, "values" | "onChange">,
  podUID: string,
  signal: AbortSignal,
): Promise<NetworkInterface> {
  for (const one of interfaces.values()) if (one.spec.podUID === podUID) return one;
  const made = Promise.withResolvers<NetworkInterface>();
  const stop = interfaces.onChange((_key, current) => {
    if (current?.spec.podUID === podUID) made.resolve(current);
  });
  try {
    return await untilAborted(made.promise, signal);
  } finally {
    stop();
  }
}
