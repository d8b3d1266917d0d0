import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { ServiceError } from "./service-error.ts";

export const defaultDataDirectory = "/var/lib/isopod";
export const defaultPort = 6443;

/** Everything an installation on one machine is started with. */
export interface ServiceSettings {
  /** Holds all state; two installations have two. */
  readonly dataDirectory: string;
  /** Address the API server listens on. */
  readonly host: string;
  /** 0 picks free ones. */
  readonly port: number;
  readonly kubeletPort: number;
  readonly nodeName: string;
  readonly accelerator: "auto" | "kvm" | "tcg";
  readonly cpuOvercommit: number;
  readonly memoryOvercommit: number;
  readonly maxPods: number;
  /** A registry that sends next to nothing for this long is given up. */
  readonly registryStallMs: number;
}

/** A machine's directory is `DATA/instances/UID/vm-N`, 53 bytes more, and may have 96 for its sockets' sake. */
const maxDataDirectoryBytes = 42;

/** Where each part keeps its files. */
export interface ServicePaths {
  readonly kubeconfig: string;
  readonly database: string;
  readonly ledger: string;
  readonly certificates: string;
  readonly token: string;
  readonly images: string;
  readonly instances: string;
  readonly scratch: string;
  readonly cache: string;
  /** Written when the service is ready: its URL and process id. */
  readonly ready: string;
  readonly log: string;
}

export function servicePaths(dataDirectory: string): ServicePaths {
  return {
    kubeconfig: join(dataDirectory, "kubeconfig"),
    database: join(dataDirectory, "api", "store.db"),
    ledger: join(dataDirectory, "meter", "ledger.db"),
    certificates: join(dataDirectory, "certificates"),
    token: join(dataDirectory, "admin-token"),
    images: join(dataDirectory, "images"),
    instances: join(dataDirectory, "instances"),
    scratch: join(dataDirectory, "scratch"),
    cache: join(dataDirectory, "cache"),
    ready: join(dataDirectory, "ready.json"),
    log: join(dataDirectory, "isopod.log"),
  };
}

export function defaultSettings(dataDirectory: string): ServiceSettings {
  return {
    dataDirectory,
    host: "127.0.0.1",
    port: defaultPort,
    kubeletPort: 10_250,
    nodeName: hostname().toLowerCase(),
    accelerator: "auto",
    cpuOvercommit: 4,
    memoryOvercommit: 1,
    maxPods: 250,
    registryStallMs: 30_000,
  };
}

/** Throws {@link ServiceError} `InvalidSetting` naming the setting and what it may be. */
export function checkSettings(settings: ServiceSettings): void {
  const check = (isGood: boolean, name: string, remedy: string): void => {
    if (isGood) return;
    throw new ServiceError(`the setting ${name} is not usable`, {
      code: "InvalidSetting",
      stage: "start",
      object: name,
      remedy,
    });
  };
  check(
    Buffer.byteLength(resolve(settings.dataDirectory)) <= maxDataDirectoryBytes,
    "--data-dir",
    `Give a path of at most ${maxDataDirectoryBytes} bytes: the VMs' sockets below it must fit the kernel's 108.`,
  );
  const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port < 65_536;
  check(isPort(settings.port), "--port", "Give a number from 0 to 65535.");
  check(isPort(settings.kubeletPort), "--kubelet-port", "Give a number from 0 to 65535.");
  check(settings.cpuOvercommit > 0, "--cpu-overcommit", "Give a number above 0.");
  check(settings.memoryOvercommit > 0, "--memory-overcommit", "Give a number above 0.");
  check(
    settings.registryStallMs >= 1000 && settings.registryStallMs <= 600_000,
    "--registry-stall-timeout",
    "Give seconds from 1 to 600.",
  );
  check(Number.isInteger(settings.maxPods) && settings.maxPods > 0, "--max-pods", "Give a whole number above 0.");
  check(
    /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(settings.nodeName) && settings.nodeName.length <= 63,
    "--node-name",
    "Give lower-case letters, digits, dots and dashes, at most 63.",
  );
}

/** What two installations on one host differ by in the names of namespaces, taps and cgroups. */
export function installationId(dataDirectory: string): string {
  return createHash("sha256").update(dataDirectory).digest("hex").slice(0, 6);
}

/**
 * First host user id of an installation's VMs. 64 ranges of 10,000 above the ids that systemd and containers use; two
 * installations fall into the same one in one of 64 cases, and then merely share ids.
 */
export function firstUserId(dataDirectory: string): number {
  const slot = Number.parseInt(installationId(dataDirectory), 16) % 64;
  return 2_000_000 + slot * 10_000;
}
