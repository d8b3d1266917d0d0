import { IsopodError } from "@isopod/base";

export const nodeErrorCodes = [
  "CreateContainerConfigError",
  "RunAsNonRoot",
  "NoUserId",
  "NoCommand",
  "PortInUse",
  /** The instance stands still. */
  "Paused",
  /** There is no machine to save: not yet, or not any more. */
  "NotRunning",
  /** The snapshot that a clone is made of cannot be used, now or ever. */
  "CloneRefused",
  "NotRoot",
  "Internal",
] as const;
export type NodeErrorCode = (typeof nodeErrorCodes)[number];

/** What the node agent itself refuses; errors of images, network and VMs keep their own classes. */
export class NodeError extends IsopodError<NodeErrorCode> {}

/** A config map, secret or field the spec names and that is not there (yet): the pod waits and tries again. */
export function configError(message: string, object: string): NodeError {
  return new NodeError(message, {
    code: "CreateContainerConfigError",
    stage: "config",
    object,
    remedy: "Create what is missing, or mark the reference optional; the pod starts by itself then.",
  });
}
