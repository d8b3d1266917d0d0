import { podSize, resources, sinceText, summarizePod } from "@isopod/api";
import { systemClock } from "@isopod/base";
import { type GlobalOptions, openContext } from "../context.ts";
import { deleteAndWait } from "../object-wait.ts";
import { formatTable, print, printJson } from "../output.ts";

export interface PsOptions extends GlobalOptions {
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

/** `isopod ps`: instances that run or are about to; `--all` those that are over too. */
export async function ps(options: PsOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const { items } = await client.list(resources.pods, {
    ...(options.allNamespaces === true ? {} : { namespace: context.namespace }),
    ...(options.selector === undefined ? {} : { labelSelector: options.selector }),
  });
  const shown = items.filter(
    (pod) => options.all === true || !["Succeeded", "Failed"].includes(pod.status?.phase ?? ""),
  );
  if (isJson) {
    printJson(shown);
    return 0;
  }
  const now = systemClock.nowMs();
  const rows = shown.map((pod) => {
    const size = podSize(pod);
    return [
      ...(options.allNamespaces === true ? [pod.metadata.namespace ?? ""] : []),
      pod.metadata.name,
      pod.spec.containers.map((one) => one.image ?? "").join(","),
      size === undefined ? "" : `${size.cpuMilli / 1000}`,
      size === undefined ? "" : `${size.memoryMiB}Mi`,
      summarizePod(pod).status,
      pod.status?.podIP ?? "",
      pod.spec.nodeName ?? "",
      sinceText(pod.metadata.creationTimestamp, now),
    ];
  });
  const header = ["NAME", "IMAGE", "VCPU", "MEMORY", "STATUS", "ADDRESS", "NODE", "AGE"];
  print(formatTable(options.allNamespaces === true ? ["NAMESPACE", ...header] : header, rows));
  return 0;
}

export interface RmOptions extends GlobalOptions {
  readonly force?: boolean;
}

/** `isopod rm NAME…`: deletes instances and waits until they are gone; `--force` without grace. */
export async function rm(names: readonly string[], options: RmOptions): Promise<number> {
  using context = await openContext(options);
  const { client, namespace, isJson } = context;
  const removed: string[] = [];
  await Promise.all(
    names.map(async (name) => {
      const pod = await client.get(resources.pods, namespace, name);
      // One second is the shortest that still goes through the node: 0 would only forget the record.
      await deleteAndWait(client, resources.pods, pod, options.force === true ? { gracePeriodSeconds: 1 } : {});
      removed.push(name);
      if (!isJson) print(name);
    }),
  );
  if (isJson) printJson({ removed });
  return 0;
}
