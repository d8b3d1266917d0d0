import { type Container, type Pod, parseQuantity, quantityToBytes, quantityToMilli } from "@isopod/api";
import {
  type ContainerMount,
  type ContainerSpec,
  defaultCapabilities,
  type GuestVolume,
  type ResourceLimits,
} from "@isopod/guest";
import type { Image, ImageConfig } from "@isopod/image";
import { containerEnvironment, expandVariables, type PodSources, withImageVariables } from "./container-environment.ts";
import { containerIdentity } from "./container-identity.ts";
import { NodeError } from "./node-error.ts";

/** What every capability a container may ask for is; the VM is the wall behind them. */
const allCapabilities = [
  ...defaultCapabilities,
  "AUDIT_CONTROL",
  "AUDIT_READ",
  "BLOCK_SUSPEND",
  "BPF",
  "CHECKPOINT_RESTORE",
  "DAC_READ_SEARCH",
  "IPC_LOCK",
  "IPC_OWNER",
  "LEASE",
  "LINUX_IMMUTABLE",
  "MAC_ADMIN",
  "MAC_OVERRIDE",
  "NET_ADMIN",
  "NET_BROADCAST",
  "PERFMON",
  "SYSLOG",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_MODULE",
  "SYS_NICE",
  "SYS_PACCT",
  "SYS_PTRACE",
  "SYS_RAWIO",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "WAKE_ALARM",
] as const;

function capabilitiesOf(container: Container): string[] {
  const { add = [], drop = [] } = container.securityContext?.capabilities ?? {};
  const plain = (name: string): string => name.toUpperCase().replace(/^CAP_/, "");
  let set = new Set<string>(defaultCapabilities);
  if (drop.some((name) => plain(name) === "ALL")) set = new Set();
  else for (const name of drop) set.delete(plain(name));
  if (add.some((name) => plain(name) === "ALL")) {
    for (const name of allCapabilities) if (!drop.some((one) => plain(one) === name)) set.add(name);
  } else for (const name of add) set.add(plain(name));
  return [...set].toSorted();
}

/** The command line: the pod's `command` and `args` over the image's entry point and command, as Kubernetes does. */
export function commandLine(
  container: Container,
  image: ImageConfig,
  variables: ReadonlyMap<string, string>,
): readonly string[] {
  const expand = (list: readonly string[]): string[] => list.map((one) => expandVariables(one, variables));
  const { command = [], args = [] } = container;
  if (command.length > 0) return [...expand(command), ...expand(args)];
  const line = [...image.entrypoint, ...(args.length > 0 ? expand(args) : image.cmd)];
  if (line.length > 0) return line;
  throw new NodeError(`container ${container.name}: the image has no command and none was given`, {
    code: "NoCommand",
    stage: "start",
    object: container.image ?? container.name,
    remedy: "Name a command: `isopod run IMAGE -- COMMAND`, or spec.containers[].command.",
  });
}

/** `uid`, `uid:gid`, or what the image says. */
function userOf(pod: Pod, container: Container, image: ImageConfig): string {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const uid = own.runAsUser ?? shared.runAsUser;
  const gid = own.runAsGroup ?? shared.runAsGroup;
  const user = uid === undefined ? image.user : String(uid);
  const name = user.split(":")[0] ?? "";
  if ((own.runAsNonRoot ?? shared.runAsNonRoot) === true) {
    const isRoot = name === "" || name === "root" || name === "0";
    if (isRoot || !/^\d+$/.test(name)) {
      throw new NodeError(
        isRoot
          ? `container has runAsNonRoot and image will run as root (container ${container.name})`
          : `container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root (container ${container.name})`,
        {
          code: "RunAsNonRoot",
          stage: "config",
          object: container.name,
          remedy: "Set securityContext.runAsUser to a number above 0.",
        },
      );
    }
  }
  return gid === undefined ? user : `${name === "" ? "0" : name}:${gid}`;
}

/** Without a limit of its own a container is bounded by its pod's size. */
function limitsOf(container: Container): ResourceLimits {
  const limits = container.resources?.limits ?? {};
  const { cpu, memory } = limits;
  return {
    ...(memory === undefined ? {} : { memoryBytes: quantityToBytes(parseQuantity(memory)) }),
    ...(cpu === undefined ? {} : { cpuMilli: quantityToMilli(parseQuantity(cpu)) }),
  };
}

/** Everything the guest needs to start one attempt of a container. Throws {@link NodeError} for what cannot be. */
export function containerPlan(
  pod: Pod,
  container: Container,
  image: Pick<Image, "config" | "accounts"> & { readonly diskSerial: string },
  sources: PodSources,
  id: string,
): ContainerSpec {
  const own = containerEnvironment(pod, container, sources);
  const variables = withImageVariables(image.config.env, own);
  if (!variables.has("HOSTNAME")) variables.set("HOSTNAME", hostnameOf(pod));
  const security = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const seccomp = security.seccompProfile ?? shared.seccompProfile;
  const plan: ContainerSpec = {
    id,
    imageDiskSerial: image.diskSerial,
    args: commandLine(container, image.config, own),
    env: [...variables].map(([name, value]) => `${name}=${value}`),
    workingDirectory: container.workingDir ?? (image.config.workingDir === "" ? "/" : image.config.workingDir),
    user: userOf(pod, container, image.config),
    supplementalGroups: [
      ...(shared.supplementalGroups ?? []),
      ...(shared.fsGroup === undefined ? [] : [shared.fsGroup]),
    ],
    capabilities: capabilitiesOf(container),
    noNewPrivileges: security.allowPrivilegeEscalation === false,
    seccomp: seccomp?.type === "Unconfined" ? "unconfined" : "default",
    isRootReadOnly: security.readOnlyRootFilesystem === true,
    isTerminal: container.tty === true,
    hasStdin: container.stdin === true,
    isStdinOnce: container.stdinOnce === true,
    limits: limitsOf(container),
    rlimits: [],
    mounts: (container.volumeMounts ?? []).map(
      (mount): ContainerMount => ({
        volume: mount.name,
        path: mount.mountPath,
        isReadOnly: mount.readOnly === true,
        ...subPathOf(mount, own),
      }),
    ),
    terminationMessagePath: container.terminationMessagePath ?? "/dev/termination-log",
  };
  const identity = containerIdentity(plan, image.accounts);
  return identity === undefined ? plan : { ...plan, identity };
}

function subPathOf(
  mount: { readonly subPath?: string; readonly subPathExpr?: string },
  variables: ReadonlyMap<string, string>,
): { readonly subPath?: string } {
  if (mount.subPathExpr !== undefined && mount.subPathExpr !== "") {
    return { subPath: expandVariables(mount.subPathExpr, variables) };
  }
  return mount.subPath === undefined || mount.subPath === "" ? {} : { subPath: mount.subPath };
}

/** The pod's host name: `spec.hostname`, else its name, at most 63 characters. */
export function hostnameOf(pod: Pod): string {
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}

/** The pod's volumes with the files of config maps and secrets in them. Throws when one that is needed is missing. */
export function guestVolumes(pod: Pod, sources: PodSources): readonly GuestVolume[] {
  const fsGroup = pod.spec.securityContext?.fsGroup;
  return (pod.spec.volumes ?? []).map((volume): GuestVolume => {
    if (volume.emptyDir !== undefined) {
      const { medium, sizeLimit } = volume.emptyDir;
      return {
        name: volume.name,
        source: {
          type: "empty",
          medium: medium === "Memory" ? "memory" : "disk",
          ...(sizeLimit === undefined ? {} : { sizeLimitBytes: quantityToBytes(parseQuantity(sizeLimit)) }),
        },
      };
    }
    const files =
      volume.configMap === undefined ? secretFiles(pod, volume, sources) : configMapFiles(pod, volume, sources);
    return { name: volume.name, source: { type: "files", files, ...(fsGroup === undefined ? {} : { gid: fsGroup }) } };
  });
}

type Volume = NonNullable<Pod["spec"]["volumes"]>[number];
type Files = (GuestVolume["source"] & { readonly type: "files" })["files"];

function configMapFiles(pod: Pod, volume: Volume, sources: PodSources): Files {
  const wanted = volume.configMap;
  if (wanted === undefined) return [];
  const found = sources.configMap(wanted.name);
  if (found === undefined && wanted.optional !== true) {
    throw new NodeError(
      `configmap "${wanted.name}" of volume ${volume.name} not found in namespace ${pod.metadata.namespace}`,
      {
        code: "CreateContainerConfigError",
        stage: "volumes",
        object: wanted.name,
        remedy: "Create it; the pod starts by itself then.",
      },
    );
  }
  const content = new Map<string, string>();
  for (const [key, text] of Object.entries(found?.data ?? {})) content.set(key, Buffer.from(text).toString("base64"));
  for (const [key, base64] of Object.entries(found?.binaryData ?? {})) content.set(key, base64);
  return filesOf(volume.name, content, wanted);
}

function secretFiles(pod: Pod, volume: Volume, sources: PodSources): Files {
  const wanted = volume.secret;
  if (wanted === undefined) return [];
  const found = sources.secret(wanted.secretName);
  if (found === undefined && wanted.optional !== true) {
    throw new NodeError(
      `secret "${wanted.secretName}" of volume ${volume.name} not found in namespace ${pod.metadata.namespace}`,
      {
        code: "CreateContainerConfigError",
        stage: "volumes",
        object: wanted.secretName,
        remedy: "Create it; the pod starts by itself then.",
      },
    );
  }
  return filesOf(volume.name, new Map(Object.entries(found?.data ?? {})), wanted);
}

function filesOf(
  volumeName: string,
  content: ReadonlyMap<string, string>,
  wanted: {
    readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
    readonly defaultMode?: number;
    readonly optional?: boolean;
  },
): Files {
  const defaultMode = wanted.defaultMode ?? 0o644;
  if (wanted.items === undefined || wanted.items.length === 0) {
    return [...content].map(([path, base64]) => ({ path, mode: defaultMode, content: base64 }));
  }
  return wanted.items.flatMap(({ key, path, mode }) => {
    const base64 = content.get(key);
    if (base64 !== undefined) return [{ path, mode: mode ?? defaultMode, content: base64 }];
    if (wanted.optional === true) return [];
    throw configError(volumeName, key);
  });
}

function configError(volumeName: string, key: string): NodeError {
  return new NodeError(`volume ${volumeName} references the key ${key}, which its source does not have`, {
    code: "CreateContainerConfigError",
    stage: "volumes",
    object: key,
    remedy: "Add the key, or mark the volume optional.",
  });
}
