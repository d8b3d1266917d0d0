import type { KubeObject, StringMap, Time } from "./meta.ts";
import type { PodSpec } from "./pod.ts";

export const isopodGroup = "isopod.dev";
export const isopodVersion = "v1alpha1";
export const isopodApiVersion = "isopod.dev/v1alpha1";

/** A private IPv4 network; instances of different VPCs never meet, even with equal addresses. */
export interface VPC extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "VPC";
  readonly spec: {
    /** IPv4 network with its host bits zero: `10.64.0.0/16`. Immutable. */
    readonly cidr: string;
    /** A way out through the host's address. Default false: no way out. */
    readonly nat?: boolean;
  };
}

/** One instance's interface (ENI): a tap in its VPC's namespace, plugged straight into the VM. */
export interface NetworkInterface extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "NetworkInterface";
  readonly spec: {
    readonly vpc: string;
    readonly address: string;
    readonly macAddress: string;
    readonly podName: string;
    readonly podUID: string;
  };
  readonly status?: { readonly phase?: "Pending" | "Attached"; readonly nodeName?: string };
}

/**
 * Holds one address of one VPC. Its name is `<vpc>.<a-b-c-d>` (see `addressClaimName`), so creating the object *is* the
 * compare-and-swap that takes the address.
 */
export interface AddressClaim extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "AddressClaim";
  readonly spec: {
    readonly vpc: string;
    readonly address: string;
    readonly interface: { readonly namespace: string; readonly name: string; readonly uid: string };
  };
}

/** A stretch of time in which an instance held its size: what the ledger is made of. */
export interface UsageSegment extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "UsageSegment";
  readonly spec: {
    readonly podName: string;
    readonly podUID: string;
    readonly nodeName: string;
    readonly cpuMilli: number;
    readonly memoryMiB: number;
    readonly state: "Running" | "Paused";
    /** Microseconds since the epoch: 16 digits, well inside the exact integers of a double. */
    readonly startMicros: number;
    /** Absent while the segment is open. */
    readonly endMicros?: number;
    readonly endCause?: string;
    readonly podLabels?: StringMap;
  };
  readonly status?: { readonly recorded?: boolean };
}

/** Prices from one moment on, until a list with a later `effectiveFrom` takes over. */
export interface PriceList extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "PriceList";
  readonly spec: {
    /** ISO 4217 code: `EUR`. */
    readonly currency: string;
    readonly effectiveFrom: Time;
    /** Millionths of the currency unit per vCPU and second. */
    readonly vcpuSecondMicros: number;
    /** Millionths of the currency unit per GiB and second. */
    readonly gibSecondMicros: number;
    /** The same while an instance is paused. Default 0: it computes nothing. */
    readonly pausedVcpuSecondMicros?: number;
    /** The same while an instance is paused. Default `gibSecondMicros`: its memory is held. */
    readonly pausedGibSecondMicros?: number;
  };
}

/** What a pod is made of, without what is one pod's own: its name, its node, its size and what was written of its start. */
export interface PodTemplate {
  readonly metadata: { readonly labels?: StringMap; readonly annotations?: StringMap };
  readonly spec: PodSpec;
}

/** The whole of a running instance at one moment: memory, devices and disk, on the node that runs it. */
export interface Snapshot extends KubeObject {
  readonly apiVersion: typeof isopodApiVersion;
  readonly kind: "Snapshot";
  /** Immutable. */
  readonly spec: {
    /** The instance, in the namespace of this object. */
    readonly podName: string;
  };
  /** Written by the node agent of the instance. */
  readonly status?: {
    /** Deleting a pending snapshot cancels it: the instance runs on. */
    readonly phase?: "Pending" | "Ready" | "Failed";
    /** What it waits for, or why it failed. */
    readonly message?: string;
    /** The node that has the files: clones run there. */
    readonly nodeName?: string;
    readonly podUID?: string;
    /** What the files take on the node's disk. */
    readonly sizeBytes?: number;
    readonly completedAt?: Time;
    /** How long the instance stood still for it. */
    readonly pauseMillis?: number;
    /** What a clone is made of. */
    readonly podTemplate?: PodTemplate;
  };
}
