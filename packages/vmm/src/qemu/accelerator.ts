import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, readdir, readFile, rm } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { describeError, temporaryDirectory, writeFileAtomically } from "@isopod/base";
import type { Accelerator, MachineSpec } from "../contract.ts";
import { VmmError } from "../errors.ts";
import { type BootSettings, startMachine } from "./start-machine.ts";
import { isRecord } from "./qmp-codec.ts";
import { endByRecord } from "./end-by-record.ts";

export type AcceleratorChoice = "auto" | "kvm" | "tcg";

export interface ProbeOptions {
  readonly cacheDirectory: string;
  readonly version: string;
  readonly settings: Omit<BootSettings, "accelerator">;
}

/**
 * How long the kernel has under KVM. It takes a tenth of this on slow real hardware; where /dev/kvm is of a kind
 * that cannot run it, the guest hangs without a word.
 */
const probeDeadlineMs = 5000;
const probePrefix = "kvm-probe-";
const cacheName = "accelerator.json";
/** Nobody: the probe's machine has no disk and no network, and runs no tenant's code. */
const probeUserId = 65534;

/** Decides what machines run on. Throws `VmmError` `NoAccelerator` when KVM is demanded and cannot be had. */
export async function chooseAccelerator(choice: AcceleratorChoice, options: ProbeOptions): Promise<Accelerator> {
  await endAbandonedProbes(options);
  if (choice === "tcg") return { name: "tcg", reason: "the configuration asks for emulation" };
  const reason = await reasonAgainstKvm(options);
  if (reason === undefined) return { name: "kvm", reason: undefined };
  if (choice === "auto") return { name: "tcg", reason };
  throw new VmmError(`KVM cannot be used: ${reason}`, {
    code: "NoAccelerator",
    stage: "boot",
    object: "/dev/kvm",
    remedy: "Run on a host with hardware virtualisation, or allow emulation (accelerator auto or tcg).",
  });
}

async function reasonAgainstKvm(options: ProbeOptions): Promise<string | undefined> {
  if (
    !(await access("/dev/kvm").then(
      () => true,
      () => false,
    ))
  )
    return "/dev/kvm does not exist";
  const key = await probeKey(options);
  const path = join(options.cacheDirectory, cacheName);
  const cached = await readCache(path);
  // One entry is enough: a host has one CPU, one kernel and one QEMU at a time.
  if (cached?.key === key) return cached.reason;
  const reason = await probe(options);
  await writeFileAtomically(path, JSON.stringify({ key, reason: reason ?? null }));
  return reason;
}

/** A service that was killed while it probed left a machine that may hang for ever. */
async function endAbandonedProbes({ cacheDirectory, settings }: ProbeOptions): Promise<void> {
  for (const name of await readdir(cacheDirectory)) {
    if (!name.startsWith(probePrefix)) continue;
    const directory = join(cacheDirectory, name);
    try {
      await endByRecord(directory, settings.clock);
      await rm(directory, { recursive: true, force: true });
    } catch (error) {
      settings.logger.warn({ directory, reason: describeError(error) }, "what a service left could not be removed");
    }
  }
}

/** Boots the kernel under KVM without an initramfs: it comes up, finds nothing to run, panics and resets. */
async function probe(options: ProbeOptions): Promise<string | undefined> {
  await using directory = await temporaryDirectory(probePrefix, options.cacheDirectory);
  const spec: MachineSpec = {
    id: `kvm-probe-${process.pid}`,
    directory: directory.path,
    vcpus: 1,
    memoryMiB: 128,
    limits: { cpuMilli: 1000, memoryMiB: 512, pids: 64 },
    userId: probeUserId,
    disks: [],
  };
  const settings = {
    ...options.settings,
    accelerator: "kvm",
    initramfsPath: undefined,
  } as const;
  let machine: Awaited<ReturnType<typeof startMachine>>;
  try {
    machine = await startMachine(spec, settings, { type: "kernel" }, () => {});
  } catch (error) {
    if (!(error instanceof VmmError) || error.code !== "LaunchFailed") throw error;
    return `QEMU does not start with it: ${error.message}`;
  }
  const deadline = new AbortController();
  await Promise.race([machine.exited, options.settings.clock.sleep(probeDeadlineMs, deadline.signal)]);
  deadline.abort();
  await machine.kill();
  const { consoleTail } = await machine.exited;
  if (consoleTail.includes("Kernel panic")) return undefined;
  const said = consoleTail.trim() === "" ? "hangs without a word" : "does not come up";
  return `/dev/kvm is there, but the guest kernel ${said} under it (within ${probeDeadlineMs} ms)`;
}

/** What the result depends on: guest kernel, QEMU, the host's kernel and CPU. */
async function probeKey({ version, settings }: ProbeOptions): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(settings.kernelPath), hash, { end: false });
  return hash.update(`\0${version}\0${release()}\0${await hostCpuModel()}`).digest("hex");
}

/** As /proc/cpuinfo names it. */
export async function hostCpuModel(): Promise<string> {
  return /^model name\s*:\s*(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown";
}

async function readCache(
  path: string,
): Promise<{ readonly key: string; readonly reason: string | undefined } | undefined> {
  try {
    const cached: unknown = JSON.parse(await readFile(path, "utf8"));
    if (!isRecord(cached) || typeof cached["key"] !== "string") return undefined;
    const reason = cached["reason"];
    return { key: cached["key"], reason: typeof reason === "string" ? reason : undefined };
  } catch {
    // Missing or damaged: probe again.
    return undefined;
  }
}
