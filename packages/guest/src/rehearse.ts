import { randomBytes } from "node:crypto";
import { greetGuest } from "./connect.ts";
import type { ContainerSpec, GuestConfiguration } from "./contract.ts";
import { defaultCapabilities } from "./default-capabilities.ts";
import type { GuestClient } from "./guest-client.ts";
import { GuestError } from "./guest-error.ts";
import type { GuestStart } from "./opening.ts";
import { rehearsalOutput } from "./rehearsal-program.ts";

export interface RehearseOptions {
  /** Unix socket of QEMU's chardev behind the port `isopod.agent`. */
  readonly socketPath: string;
  /** How long all of it may take. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** As the instances will have it, with whatever addresses; undefined for a VM without a network card. */
  readonly network: GuestConfiguration["network"];
}

/**
 * Rehearses the whole life of an instance on a VM that is nobody's, behind whose image disk is `rehearsalImage()`, and
 * takes it back: every line of the guest's code that a start runs has then been run, which under emulation is what a
 * start costs. Afterwards the agent waits as it did before, and reads the image that is then behind the disk.
 *
 * Throws {@link GuestError}: what the agent refused, `Unreachable`, `TimedOut`, or `BadAnswer` for a rehearsal that
 * went otherwise than it should; or the signal's reason. The VM is then in no known state: end it.
 */
export async function rehearse(options: RehearseOptions): Promise<void> {
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    await liveOnce({ ...options, signal });
    // The agent has seen the end of that session when it answers the next host.
    (await greetGuest({ ...options, signal }))[Symbol.dispose]();
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (!deadline.aborted) throw cause;
    throw new GuestError(`the rehearsal of a start did not end within ${options.timeoutMs} ms`, {
      code: "TimedOut",
      object: options.socketPath,
      remedy: "Look at the VM's console for what the kernel said last.",
      cause,
    });
  }
}

async function liveOnce(options: RehearseOptions & { readonly signal: AbortSignal }): Promise<void> {
  const { network, signal, timeoutMs } = options;
  const start = rehearsedStart(network);
  const { id } = start.container;
  const line = await greetGuest(options);
  const { client } = await line.start(start, signal);
  await using session = client;
  const output = await outputOf(session, id, signal);
  const { exit } = await session.waitContainer(id, signal);
  if (output !== rehearsalOutput || exit?.exitCode !== 0) {
    throw new GuestError(`the rehearsed container ended with ${JSON.stringify({ output, exit })}`, {
      code: "BadAnswer",
      object: options.socketPath,
    });
  }
  await session.removeContainer(id, { signal, timeoutMs });
  await session.reset({ signal, timeoutMs });
}

async function outputOf(client: GuestClient, id: string, signal: AbortSignal): Promise<string> {
  let output = "";
  for await (const chunk of client.output(id, 0, signal)) {
    output += chunk.data.toString();
    // The program says one line.
    if (output.length > rehearsalOutput.length) break;
  }
  return output;
}

/** What a start has: all that is usual, and one of each kind of volume. */
function rehearsedStart(network: GuestConfiguration["network"]): GuestStart {
  const name = "rehearsal";
  const configuration: GuestConfiguration = {
    hostname: name,
    entropy: randomBytes(64).toString("base64"),
    epochMicros: Date.now() * 1000,
    ...(network === undefined ? {} : { network }),
    resolvConf: `search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver ${network?.gatewayAddress}\noptions ndots:5\n`,
    hosts: `127.0.0.1\tlocalhost\n${network?.address ?? "127.0.0.1"}\t${name}\n`,
    scratch: { diskSerial: "scratch" },
    limits: { memoryBytes: 128 * 1024 * 1024, cpuMilli: 250, pids: 1024 },
  };
  const content = Buffer.from(name).toString("base64");
  const container: ContainerSpec = {
    id: name,
    imageDiskSerial: "image",
    // Found at the end of the usual PATH.
    args: ["sh", "-c", "echo"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", `HOSTNAME=${name}`],
    workingDirectory: "/",
    user: "",
    supplementalGroups: [],
    identity: { uid: 0, gid: 0, groups: [0], home: "/root" },
    capabilities: defaultCapabilities,
    noNewPrivileges: false,
    seccomp: "default",
    isRootReadOnly: false,
    isTerminal: false,
    hasStdin: false,
    isStdinOnce: false,
    limits: { memoryBytes: 64 * 1024 * 1024, cpuMilli: 250 },
    rlimits: [],
    mounts: [
      { volume: "disk", path: "/data", isReadOnly: false },
      { volume: "memory", path: "/memory", isReadOnly: false },
      { volume: "files", path: "/var/run/files", isReadOnly: true },
    ],
    terminationMessagePath: "/dev/termination-log",
  };
  return {
    configuration,
    volumes: [
      { name: "disk", source: { type: "empty", medium: "disk" } },
      { name: "memory", source: { type: "empty", medium: "memory" } },
      { name: "files", source: { type: "files", files: [{ path: name, mode: 0o644, content }] } },
    ],
    container,
  };
}
