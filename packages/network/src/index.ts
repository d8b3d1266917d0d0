export { isAssignable, parseVpcCidr } from "./addresses.ts";
export { type Cidr, cidrContains, cidrsOverlap, formatAddress, parseAddress, parseCidr } from "./cidr.ts";
export type { AttachedInterface, HostNetwork, InterfaceSpec, TapSpec, VpcSpec } from "./contract.ts";
export { createHostNetwork, type HostNetworkOptions } from "./linux/linux-host-network.ts";
export { NetworkError, type NetworkErrorCode, networkErrorCodes } from "./network-error.ts";
