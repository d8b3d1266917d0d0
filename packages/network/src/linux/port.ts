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

/** A port as the kernel has it. */
export interface KnownPort extends Port {
  /** Its packet filter, address and route hold, and the tap is up: until then nothing passes it. */
  readonly isOpen: boolean;
}

/** What an alias begins with: the tap is there and a VM may hold it, and whether the rest is done. */
const openMark = "isopod";
const openingMark = "isopod-opening";

/**
 * The tap's alias is the record of the port: it lives and dies with the tap, so that after any crash the kernel
 * says which interfaces there are. It is the last step of making the tap and, changed, of opening it: a tap without
 * one was never handed to anybody.
 */
export function aliasOf(port: Port, isOpen: boolean): string {
  return [isOpen ? openMark : openingMark, port.id, port.address, port.macAddress, port.userId].join(",");
}

export function portFromAlias(tapName: string, alias: string): KnownPort | undefined {
  const [mark, id, address, macAddress, userId, ...rest] = alias.split(",");
  if (mark !== openMark && mark !== openingMark) return undefined;
  if (id === undefined || address === undefined || macAddress === undefined) return undefined;
  if (userId === undefined || rest.length > 0) return undefined;
  return { id, tapName, address, macAddress, userId: Number(userId), isOpen: mark === openMark };
}
