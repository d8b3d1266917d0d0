import { readFile } from "node:fs/promises";
import type { Pod } from "@isopod/api";
import { hostnameOf } from "./container-plan.ts";

/** What `resolv.conf` of an instance is made from. */
export interface DnsDefaults {
  /** Name servers that an instance with a way out can reach. */
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
}

/** The host's own name servers, without the ones that only the host reaches. */
export async function hostDns(path = "/etc/resolv.conf"): Promise<DnsDefaults> {
  const text = await readFile(path, "utf8").catch(() => "");
  const nameservers: string[] = [];
  let searches: string[] = [];
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "nameserver" && rest[0] !== undefined && /^\d+\./.test(rest[0]) && !rest[0].startsWith("127.")) {
      nameservers.push(rest[0]);
    } else if (word === "search") searches = rest;
  }
  return { nameservers, searches };
}

/** `dnsPolicy: None` means only `dnsConfig`; every other policy adds the host's servers when the VPC has a way out. */
export function resolvConf(pod: Pod, defaults: DnsDefaults, hasWayOut: boolean): string {
  const { dnsConfig, dnsPolicy } = pod.spec;
  const isBare = dnsPolicy === "None" || !hasWayOut;
  const nameservers = [...(isBare ? [] : defaults.nameservers), ...(dnsConfig?.nameservers ?? [])].slice(0, 3);
  const searches = [...(isBare ? [] : defaults.searches), ...(dnsConfig?.searches ?? [])];
  const options = (dnsConfig?.options ?? []).map(({ name, value }) =>
    value === undefined || value === "" ? (name ?? "") : `${name}:${value}`,
  );
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
    "",
  ].join("\n");
}

export function hostsFile(pod: Pod, podIP: string): string {
  const aliases = (pod.spec.hostAliases ?? []).map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join("\t")}`);
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    `${podIP}\t${hostnameOf(pod)}`,
    ...aliases,
    "",
  ].join("\n");
}
