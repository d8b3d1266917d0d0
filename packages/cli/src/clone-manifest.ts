import { type Pod, podTemplateOf, type Snapshot, snapshotAnnotation } from "@isopod/api";
import { CliError } from "./cli-error.ts";

/** Its nodes' label that a clone is bound to its place by: the snapshot's files are there and nowhere else. */
const hostnameLabel = "kubernetes.io/hostname";

/**
 * The pod that a clone is: what its snapshot says, of that snapshot, on that node. Without a name it gets the original's
 * and five letters. Throws {@link CliError} `Refused` for a snapshot that cannot be cloned (yet).
 */
export function cloneManifest(snapshot: Snapshot, name: string | undefined): Pod {
  const { metadata, spec, status } = snapshot;
  const refuse = (why: string, remedy: string): never => {
    throw new CliError(`the snapshot ${metadata.name} ${why}`, { code: "Refused", object: metadata.name, remedy });
  };
  if (metadata.deletionTimestamp !== undefined) refuse("is being deleted", "Take another: `isopod snapshot ls`.");
  if (status?.phase === "Failed") {
    refuse(`failed: ${status.message ?? "no reason was given"}`, `Take another: \`isopod snapshot ${spec.podName}\`.`);
  }
  if (status?.phase !== "Ready" || status.podTemplate === undefined || status.nodeName === undefined) {
    const why = status?.message === undefined ? "" : `: ${status.message}`;
    return refuse(`is not ready yet${why}`, "Wait until `isopod snapshot ls` shows Ready.");
  }
  const template = podTemplateOf(status.podTemplate);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      ...(name === undefined ? { name: "", generateName: `${spec.podName}-` } : { name }),
      ...(template.metadata.labels === undefined ? {} : { labels: template.metadata.labels }),
      annotations: { ...template.metadata.annotations, [snapshotAnnotation]: metadata.name },
    },
    spec: { ...template.spec, nodeSelector: { ...template.spec.nodeSelector, [hostnameLabel]: status.nodeName } },
  };
}
