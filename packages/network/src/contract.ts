/**
 * The VPC networks of one host. One network namespace per VPC is that VPC's router; each interface is a tap in it.
 *
 * Everything is idempotent and rebuilt from arguments: the first `attach` after a restart puts right what a crash left behind.
 */
export interface VpcSpec {
  /** DNS-1123 label of the VPC object plus its uid decide the namespace's name: names are never reused across VPCs. */
  readonly name: string;
  readonly uid: string;
  /** IPv4 network, as in `10.64.0.0/16`. */
  readonly cidr: string;
  /** A way out through the host's address (masquerade) for every interface of the VPC. */
  readonly hasNat: boolean;
}

export interface TapSpec {
  /** Unique on the host; the tap's name derives from it. */
  readonly id: string;
  readonly vpc: VpcSpec;
  /** The user id that may open the tap. */
  readonly userId: number;
}

export interface InterfaceSpec extends TapSpec {
  readonly address: string;
  readonly macAddress: string;
}

/** What the VM and the guest need to know of an attached interface. */
export interface AttachedInterface {
  /**
   * Resolves when packets pass: before the guest is given its address. Until then the tap is down. Rejects with
   * `NetworkError` when that fails: the tap is gone then. Nobody has to listen.
   */
  readonly opened: Promise<void>;
  readonly namespacePath: string;
  readonly tapName: string;
  readonly gatewayAddress: string;
  readonly gatewayMacAddress: string;
  readonly mtu: number;
}

/** Throws `NetworkError` (stage `network`): `InvalidSpec`, `AddressInUse`, `MissingProgram`, `NotPermitted`, `NoUplink`, `CommandFailed`. */
export interface HostNetwork extends AsyncDisposable {
  /**
   * Makes the tap of an interface that has no address yet, so that an `attach` that follows finds it. It is down, is
   * listed, and is removed by `detach`. An interface that is there already is left as it is.
   */
  prepare(spec: TapSpec, signal?: AbortSignal): Promise<void>;
  /**
   * Resolves as soon as the tap is there and a VM may open it; `opened` tells when packets pass. What is asked of one
   * id is done in turn, what is asked of several side by side.
   */
  attach(spec: InterfaceSpec, signal?: AbortSignal): Promise<AttachedInterface>;
  /**
   * Removes the tap, its route and rules. The VPC's namespace goes with its last interface, or when none has come for a
   * while. Unknown ids are no error.
   */
  detach(id: string): Promise<void>;
  /** Ids of the interfaces this installation has on the host now. */
  list(): Promise<readonly string[]>;
  /** Removes the namespaces without an interface; what has one stays. Nothing is to be asked of it any more. */
  [Symbol.asyncDispose](): Promise<void>;
}
