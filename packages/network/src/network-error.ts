import { CommandError, IsopodError } from "@isopod/base";

export const networkErrorCodes = [
  "InvalidSpec",
  "AddressInUse",
  "MissingProgram",
  "NotPermitted",
  "NoUplink",
  "CommandFailed",
] as const;
export type NetworkErrorCode = (typeof networkErrorCodes)[number];

/** Everything that goes wrong with a network; `object` is the interface, the VPC or the address it went wrong for. */
export class NetworkError extends IsopodError<NetworkErrorCode> {
  constructor(
    message: string,
    details: {
      readonly code: NetworkErrorCode;
      readonly object: string;
      readonly remedy?: string;
      readonly cause?: unknown;
    },
  ) {
    super(message, { ...details, stage: "network" });
  }
}

/** What the kernel's commonest refusals mean to the person who runs the host. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [/\/dev\/net\/tun|open: No such (file|device)/i, "Load the tun module: modprobe tun."],
  [/Unknown device type|Operation not supported/i, "Load the kernel modules tun, veth, nf_tables, nft_ct and nft_nat."],
  [
    /Too many open files|Cannot allocate memory|No buffer space/i,
    "The host is out of kernel resources: free memory or raise its limits.",
  ],
];

/** Translates the failure of a host program, once, at the place that called it. */
export function commandNetworkError(what: string, object: string, cause: unknown): unknown {
  if (!(cause instanceof CommandError)) return cause;
  if (cause.code === "MissingProgram") {
    return new NetworkError(`${what} needs the program ${cause.object}, which is missing`, {
      code: "MissingProgram",
      object,
      cause,
      ...(cause.remedy === undefined ? {} : { remedy: cause.remedy }),
    });
  }
  const detail = cause.stderr.split("\n")[0] ?? "";
  if (/Operation not permitted|Permission denied/i.test(cause.stderr)) {
    return notPermitted(`${what}: ${detail}`, object, cause);
  }
  const remedy = remedies.find(([pattern]) => pattern.test(cause.stderr))?.[1];
  return new NetworkError(`${what} failed: ${detail}`, {
    code: "CommandFailed",
    object,
    cause,
    remedy: remedy ?? "See the host's own words above and its kernel log (dmesg).",
  });
}

export function notPermitted(message: string, object: string, cause?: unknown): NetworkError {
  return new NetworkError(message, {
    code: "NotPermitted",
    object,
    cause,
    remedy:
      "Run the node as root: it makes network namespaces, taps and packet filters (CAP_NET_ADMIN, CAP_SYS_ADMIN).",
  });
}
