/**
 * What the host asks of the agent (PID 1) inside a microVM, and what the agent answers.
 *
 * Transport: one virtio-serial port named `isopod.agent`; a session handshake with a nonce, then HTTP/2, the host
 * being the client. Bodies are JSON unless said otherwise. The agent is untrusted: the host bounds every size, rate
 * and time. Policy (what a pod spec means) stays on the host; the agent is sent plain data.
 *
 * | request | body | answer |
 * |---|---|---|
 * | `GET /v1/info` | | {@link AgentInfo} |
 * | `POST /v1/configure` | {@link GuestConfiguration} | {@link GuestConfigured}; once per VM, before the first container |
 * | `POST /v1/reidentify` | {@link GuestReidentification} | `{}`; a running guest of a restored snapshot becomes another instance |
 * | `POST /v1/reset` | | `{}`; an instance without containers becomes a VM again that was never configured |
 * | `POST /v1/containers` | {@link ContainerSpec} | {@link ContainerStarted} |
 * | `GET /v1/containers` | | {@link ContainerState}[] |
 * | `GET /v1/containers/ID/wait` | | {@link ContainerState}, answered when it has ended |
 * | `GET /v1/containers/ID/output?from=N` | | frames (below), from byte offset N of the output ring, until the end |
 * | `POST /v1/containers/ID/attach` | frames | frames |
 * | `POST /v1/containers/ID/exec` | frames, the first one an `exec` frame | frames |
 * | `POST /v1/containers/ID/signal` | `{signal: "SIGTERM"}` | `{}` |
 * | `DELETE /v1/containers/ID` | | `{}`; kills what is left, removes its overlay upper and cgroup |
 * | `PUT /v1/volumes` | {@link GuestVolume}[] | `{}`; makes or replaces volumes atomically |
 * | `GET /v1/stats` | | {@link GuestStats} |
 * | `POST /v1/poweroff` | | `{}`, then the VM ends |
 *
 * A refused request answers 4xx/5xx with {@link AgentFailure}.
 *
 * A *frame* is `type: u8, length: u32 big-endian, payload`. Types: 0 stdin, 1 stdout, 2 stderr, 3 exit (JSON
 * {@link ExitStatus}, last frame of the stream), 4 resize (JSON `{columns, rows}`), 5 exec (JSON {@link ExecSpec}),
 * 6 mark (JSON {@link OutputMark}), 7 started (JSON {@link ContainerStarted}), 8 refused (JSON {@link AgentFailure}),
 * 255 end of the channel whose number is the one payload byte (stdin).
 */
export const frameTypes = Object.freeze({
  stdin: 0,
  stdout: 1,
  stderr: 2,
  exit: 3,
  resize: 4,
  exec: 5,
  mark: 6,
  started: 7,
  refused: 8,
  end: 255,
});

/** No frame's payload is longer. */
export const maxFramePayloadBytes = 64 * 1024;

export interface AgentInfo {
  readonly version: string;
  /** Microseconds of the guest's monotonic clock when the agent's `main` began and when its port was open. */
  readonly startedMicros: number;
  readonly readyMicros: number;
  readonly kernelRelease: string;
  readonly vcpus: number;
  /** MemTotal of the guest. */
  readonly memoryBytes: number;
  readonly isConfigured: boolean;
}

/** The identity of an instance. */
export interface GuestIdentity {
  readonly hostname: string;
  /** At least 32 bytes of fresh host entropy, base64: credited with RNDADDENTROPY, then RNDRESEEDCRNG. */
  readonly entropy: string;
  /** Wall time of the host, microseconds since the epoch. */
  readonly epochMicros: number;
  readonly network?: {
    readonly macAddress: string;
    /** The instance's own address; the guest has it as a /32. */
    readonly address: string;
    /** Link-local gateway, the same on every tap: a host route, then the default route; a permanent neighbour entry. */
    readonly gatewayAddress: string;
    readonly gatewayMacAddress: string;
    readonly mtu: number;
  };
  /** Text of /etc/resolv.conf and /etc/hosts of every container that does not bring its own. */
  readonly resolvConf: string;
  readonly hosts: string;
}

/**
 * What a running guest that was restored from a snapshot is told before it is reachable. Host name and the files are
 * replaced under the running containers; the old address and MAC go. Idempotent.
 */
export type GuestReidentification = GuestIdentity;

export interface GuestConfiguration extends GuestIdentity {
  /**
   * The writable disk (ext4), by its serial number; holds the overlay uppers and emptyDirs. One with the serial
   * `scratch` is mounted when the guest boots: a fork's disk must have the content its template left.
   */
  readonly scratch: { readonly diskSerial: string };
  /** The size sold: the pod's cgroup gets these; containers get their own below it. Absent = no limit. */
  readonly limits: ResourceLimits;
}

export interface GuestConfigured {
  /** Microseconds each step took inside the guest: entropy, network, files, scratch, cgroup. */
  readonly stageMicros: Readonly<Record<string, number>>;
}

export interface ResourceLimits {
  readonly memoryBytes?: number;
  /** 1000 = one CPU. */
  readonly cpuMilli?: number;
  readonly pids?: number;
}

export interface ContainerSpec {
  /** `[a-z0-9-]{1,63}`; unique in the VM: a restarted container has a new one. */
  readonly id: string;
  /** Serial number of the EROFS disk with its image; the same disk may serve several containers. */
  readonly imageDiskSerial: string;
  /** First element is looked up in the PATH of `env` inside the root file system unless it has a slash. */
  readonly args: readonly string[];
  /** `NAME=value`. PATH and HOME get defaults when absent. */
  readonly env: readonly string[];
  readonly workingDirectory: string;
  /** As in an image's configuration: "", `name`, `uid`, `user:group`; looked up in the container's /etc/passwd, group. */
  readonly user: string;
  readonly supplementalGroups: readonly number[];
  /**
   * Who `user` and `supplementalGroups` are when the host has looked that up in the image's own files; the agent then
   * does not. `groups` are all of them, `gid` included.
   */
  readonly identity?: {
    readonly uid: number;
    readonly gid: number;
    readonly groups: readonly number[];
    /** HOME where `env` has none. */
    readonly home: string;
  };
  /** Names as in Linux without `CAP_`: bounding, permitted, effective (inheritable and ambient stay empty). */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /** The default seccomp profile (what Docker's default refuses), or none. */
  readonly seccomp: "default" | "unconfined";
  readonly isRootReadOnly: boolean;
  /** A terminal (stdout and stderr are one stream); `stdin` false gives /dev/null. */
  readonly isTerminal: boolean;
  readonly hasStdin: boolean;
  /** Stdin closes when the first attached client's ends. */
  readonly isStdinOnce: boolean;
  readonly limits: ResourceLimits;
  readonly rlimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly mounts: readonly ContainerMount[];
  /** Path in the container whose content (at most 4096 bytes) becomes the termination message; "" for none. */
  readonly terminationMessagePath: string;
}

export interface ContainerMount {
  /** Name of a {@link GuestVolume}. */
  readonly volume: string;
  readonly path: string;
  readonly subPath?: string;
  readonly isReadOnly: boolean;
}

/** A volume lives as long as the VM. `files` are replaced as one (`..data` symlink) by a later PUT. */
export interface GuestVolume {
  readonly name: string;
  readonly source:
    | { readonly type: "empty"; readonly medium: "disk" | "memory"; readonly sizeLimitBytes?: number }
    | { readonly type: "files"; readonly files: readonly GuestFile[]; readonly gid?: number };
}

export interface GuestFile {
  /** Relative, no `..`. */
  readonly path: string;
  readonly mode: number;
  /** Base64. */
  readonly content: string;
}

export interface ContainerStarted {
  readonly id: string;
  /** Wall time at which `execve` of the container's program succeeded. */
  readonly startedMicros: number;
  /**
   * Microseconds each step took inside the guest, for the start-time table: disks, prepare,
   * fork, overlay, mounts, identity, exec.
   */
  readonly stageMicros: Readonly<Record<string, number>>;
}

export interface ExitStatus {
  /** 0–255; 128 + signal when killed by one; 127 command not found, 126 not executable. */
  readonly exitCode: number;
  readonly signal: number;
  readonly isOomKilled: boolean;
  readonly startedMicros: number;
  readonly finishedMicros: number;
  /** At most 4096 bytes of text. */
  readonly terminationMessage: string;
}

export interface ContainerState {
  readonly id: string;
  readonly phase: "running" | "exited";
  readonly startedMicros: number;
  /** Bytes of output produced so far, counted over the ring's whole life. */
  readonly outputBytes: number;
  readonly exit?: ExitStatus;
}

export interface ExecSpec {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly workingDirectory: string;
  /** "" = the container's user. */
  readonly user: string;
  readonly isTerminal: boolean;
  readonly hasStdin: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/**
 * Precedes every stdout/stderr frame of `output`: the time the agent read it and the ring offset just after the frame's
 * payload, which is what `from` continues at. `droppedBytes` > 0 tells that the ring overflowed before it.
 */
export interface OutputMark {
  readonly epochMicros: number;
  readonly nextOffset: number;
  readonly droppedBytes: number;
}

export interface GuestStats {
  readonly containers: readonly {
    readonly id: string;
    readonly cpuMicros: number;
    readonly memoryBytes: number;
    readonly memoryPeakBytes: number;
    readonly pids: number;
    readonly oomKills: number;
  }[];
  readonly scratchTotalBytes: number;
  readonly scratchFreeBytes: number;
}

export const agentFailureCodes = [
  "BadRequest",
  "NotFound",
  "AlreadyExists",
  /** The command is not in the image: users see exit code 127. */
  "CommandNotFound",
  /** It is there and cannot be executed: exit code 126. */
  "CommandNotExecutable",
  "UserNotFound",
  "DiskNotFound",
  "MountFailed",
  "NoSpace",
  "NotRunning",
  "Internal",
] as const;
export type AgentFailureCode = (typeof agentFailureCodes)[number];

export interface AgentFailure {
  readonly code: AgentFailureCode;
  readonly message: string;
}
