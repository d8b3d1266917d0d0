import { createHash } from "node:crypto";
import { type Cidr, cidrContains, formatAddress, parseAddress } from "../cidr.ts";

/** A route of the host inside the pool. */
export interface PoolRoute {
  readonly network: number;
  readonly addressCount: number;
  readonly device: string | undefined;
}

/** Reads what `ip -4 -j route show table all root POOL` prints: `dst` is an address or a network. */
export function parsePoolRoutes(routes: readonly unknown[]): readonly PoolRoute[] {
  return routes.flatMap((route) => {
    if (typeof route !== "object" || route === null || !("dst" in route) || typeof route.dst !== "string") return [];
    const match = /^([0-9.]+)(?:\/([0-9]+))?$/.exec(route.dst);
    if (match === null) return [];
    const device = "dev" in route && typeof route.dev === "string" ? route.dev : undefined;
    return [{ network: parseAddress(match[1] ?? ""), addressCount: 2 ** (32 - Number(match[2] ?? 32)), device }];
  });
}

/**
 * The first address of the pool, from a place decided by `seed` on, that no route of the host covers: two
 * installations on a host seldom even try the same one. Undefined when the pool is full.
 */
export function chooseNatAddress(pool: Cidr, routes: readonly PoolRoute[], seed: string): string | undefined {
  const usable = pool.addressCount - 2;
  const start = createHash("sha256").update(seed).digest().readUInt32BE(0) % usable;
  let step = 0;
  while (step < usable) {
    const address = pool.network + 1 + ((start + step) % usable);
    const covering = routes.find((route) => cidrContains({ ...route, prefixLength: 0 }, address));
    if (covering === undefined) return formatAddress(address);
    // Past the whole route at once: it may be millions of addresses wide.
    step += covering.network + covering.addressCount - address;
  }
  return undefined;
}
