import type { InterfaceSpec } from "../contract.ts";
import { tapName } from "./names.ts";

/** An interface as its VPC's router sees it. */
export interface Port {
  readonly id: string;
  readonly tapName: string;
  readonly address: string;
  readonly macAddress: string;
  readonly userId: number;
}

export function portOf(spec: InterfaceSpec): Port {
  const { id, address, macAddress, userId } = spec;
  return { id, tapName: tapName(id), address, macAddress, userId };
}

export function isSamePort(a: Port, b: Port): boolean {
  return a.id === b.id && a.address === b.address && a.macAddress === b.macAddress && a.userId === b.userId;
}

/**
 * The tap's alias is the record of the port: it lives and dies with the tap, so that after any crash the kernel
 * says which interfaces there are. It is written last: a tap without one was never finished.
 */
export function aliasOf(port: Port): string {
  return ["isopod", port.id, port.address, port.macAddress, port.userId].join(",");
}

export function portFromAlias(tapName: string, alias: string): Port | undefined {
  const [mark, id, address, macAddress, userId, ...rest] = alias.split(",");
  if (mark !== "isopod" || id === undefined || address === undefined || macAddress === undefined) return undefined;
  if (userId === undefined || rest.length > 0) return undefined;
  return { id, tapName, address, macAddress, userId: Number(userId) };
}
