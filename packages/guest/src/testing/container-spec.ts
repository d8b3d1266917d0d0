import type { ContainerSpec } from "../contract.ts";
import { defaultCapabilities } from "../default-capabilities.ts";

let nextId = 0;

/** A container that runs a busybox command, with an id of its own. */
export function containerSpec(args: readonly string[], changes: Partial<ContainerSpec> = {}): ContainerSpec {
  nextId += 1;
  return {
    id: `c${nextId}`,
    imageDiskSerial: "image",
    args,
    env: ["PATH=/bin"],
    workingDirectory: "/",
    user: "",
    supplementalGroups: [],
    capabilities: defaultCapabilities,
    noNewPrivileges: false,
    seccomp: "default",
    isRootReadOnly: false,
    isTerminal: false,
    hasStdin: false,
    isStdinOnce: false,
    limits: {},
    rlimits: [],
    mounts: [],
    terminationMessagePath: "",
    ...changes,
  };
}
