import { readFile, writeFile } from "node:fs/promises";
import { systemErrorCode } from "@isopod/base";
import { NetworkError } from "../network-error.ts";

/** Names of the host's interfaces. From proc, which is of this process's namespace; sysfs is of whoever mounted it. */
export async function hostInterfaces(): Promise<readonly string[]> {
  const lines = (await readFile("/proc/self/net/dev", "utf8")).split("\n").slice(2);
  return lines.flatMap((line) => /^\s*([^:\s]+):/.exec(line)?.[1] ?? []);
}

/**
 * Whether packets that come in by the interface may be forwarded. Set per interface, never by
 * `net.ipv4.ip_forward`: that would make routers of interfaces that are no business of ours.
 */
export async function isForwarding(device: string): Promise<boolean> {
  try {
    return (await readFile(forwardingPath(device), "utf8")).trim() !== "0";
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NetworkError(`the uplink ${device} does not exist`, {
      code: "NoUplink",
      object: device,
      remedy: "Name an interface of this host as the uplink, or none to take the default route's.",
      cause: error,
    });
  }
}

export async function setForwarding(device: string, isOn: boolean): Promise<void> {
  await writeSysctl(forwardingPath(device), isOn ? "1" : "0");
}

export async function disableIpv6(device: string): Promise<void> {
  await writeSysctl(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, "1");
}

function forwardingPath(device: string): string {
  return `/proc/sys/net/ipv4/conf/${device}/forwarding`;
}

/** A missing file means a kernel without IPv6, or an interface that has just gone; neither has anything to set. */
async function writeSysctl(path: string, value: string): Promise<void> {
  try {
    await writeFile(path, value);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
}
