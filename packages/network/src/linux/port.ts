import type { InterfaceSpec, TapSpec } from "../contract.ts";
import { tapName } from "./names.ts";

/** The device of an interface, all that a VM needs of it to be started. */
export interface Tap {
  readonly id: string;
  readonly tapName: string;
  readonly userId: number;
}

/** An interface as its VPC's router sees it. */
export interface Port extends Tap {
  readonly address: string;
  readonly macAddress: string;
}

export function tapOf({ id, userId }: TapSpec): Tap {
  return { id, tapName: tapName(id), userId };
}

export function portOf(spec: InterfaceSpec): Port {
  const { address, macAddress } = spec;
  return { ...tapOf(spec), address, macAddress };
}

/** What there is of an interface. */
export interface KnownPort {
  readonly tap: Tap;
  /** What it is open as, or is being opened as; undefined for a tap that is there and down. */
  readonly port: Port | undefined;
  /** Its packet filter, address and route hold, and the tap is up: until then nothing passes it. */
  readonly isOpen: boolean;
}

/** Whether what is there may become `wanted` without a new tap. */
export function mayBecome({ tap, port }: KnownPort, wanted: Tap | Port): boolean {
  if (tap.id !== wanted.id || tap.userId !== wanted.userId) return false;
  return (
    port === undefined ||
    ("address" in wanted && port.address === wanted.address && port.macAddress === wanted.macAddress)
  );
}

/** What an alias begins with: the interface is open; its tap is there, down, and a VM may hold it. */
const openMark = "isopod";
const tapMark = "isopod-tap";

/**
 * The tap's alias is the record of the interface: it lives and dies with the tap, so that after any crash the kernel
 * says which interfaces there are. It is the last step of making the tap and, changed, of opening it: a tap without
 * one was never handed to anybody.
 */
export function tapAlias({ id, userId }: Tap): string {
  return [tapMark, id, userId].join(",");
}

export function openAlias({ id, address, macAddress, userId }: Port): string {
  return [openMark, id, address, macAddress, userId].join(",");
}

export function portFromAlias(tapName: string, alias: string): KnownPort | undefined {
  const [mark, id, ...fields] = alias.split(",");
  const userId = Number(fields.at(-1));
  if (id === undefined || !Number.isInteger(userId)) return undefined;
  const tap = { id, tapName, userId };
  if (mark === tapMark && fields.length === 1) return { tap, port: undefined, isOpen: false };
  const [address, macAddress] = fields;
  if (mark !== openMark || fields.length !== 3 || address === undefined || macAddress === undefined) return undefined;
  return { tap, port: { ...tap, address, macAddress }, isOpen: true };
}
