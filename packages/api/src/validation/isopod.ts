import { isIPv4 } from "node:net";
import { addressClaimName, dns1123LabelProblems } from "../names.ts";
import type { AddressClaim, NetworkInterface, PriceList, UsageSegment, VPC } from "../types/isopod.ts";
import type { StatusCause } from "../types/status.ts";
import { invalidValue, notSupported, problems, required } from "./field-error.ts";
import { isSameJson } from "./same-json.ts";

const macAddress = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const currencyCode = /^[A-Z]{3}$/;

/** Room for a gateway's address, a few instances and no more than the router's tables hold. */
const prefixLengths = { longest: 28, shortest: 8 } as const;

export function validateVpc(vpc: VPC, old: VPC | undefined): readonly StatusCause[] {
  const cidr = vpc.spec?.cidr ?? "";
  const causes = cidr === "" ? [required("spec.cidr")] : validateCidr(cidr, "spec.cidr");
  // Interfaces hold addresses of the old network.
  return [...causes, ...validateUnchanged(cidr, old?.spec.cidr, "spec.cidr", old !== undefined)];
}

export function validateNetworkInterface(
  eni: NetworkInterface,
  old: NetworkInterface | undefined,
): readonly StatusCause[] {
  const spec: Partial<NetworkInterface["spec"]> = eni.spec ?? {};
  const causes = [
    ...validateVpcName(spec.vpc),
    ...validateAddress(spec.address),
    ...requireTexts(spec, ["podName", "podUID"]),
  ];
  if (!macAddress.test(spec.macAddress ?? "")) {
    causes.push(
      invalidValue("spec.macAddress", spec.macAddress ?? "", "must be six lower case bytes, as in 02:00:0a:40:00:07"),
    );
  }
  return [...causes, ...validateUnchanged(eni.spec, old?.spec, "spec", old !== undefined)];
}

export function validateAddressClaim(claim: AddressClaim, old: AddressClaim | undefined): readonly StatusCause[] {
  const spec: Partial<AddressClaim["spec"]> = claim.spec ?? {};
  const holder: Partial<AddressClaim["spec"]["interface"]> = spec.interface ?? {};
  const causes = [
    ...validateVpcName(spec.vpc),
    ...validateAddress(spec.address),
    ...requireTexts(holder, ["namespace", "name", "uid"], "spec.interface"),
  ];
  if (causes.length > 0) return causes;
  const name = addressClaimName(spec.vpc ?? "", spec.address ?? "");
  // Two names for one address would be two holders.
  if (claim.metadata.name !== name) causes.push(invalidValue("metadata.name", claim.metadata.name, `must be ${name}`));
  return [...causes, ...validateUnchanged(claim.spec, old?.spec, "spec", old !== undefined)];
}

export function validateUsageSegment(segment: UsageSegment, old: UsageSegment | undefined): readonly StatusCause[] {
  const spec: Partial<UsageSegment["spec"]> = segment.spec ?? {};
  const causes = [
    ...requireTexts(spec, ["podName", "podUID", "nodeName"]),
    ...requirePositive(spec, ["cpuMilli", "memoryMiB", "startMicros"]),
  ];
  const { state, startMicros = 0, endMicros } = spec;
  if (state !== "Running" && state !== "Paused")
    causes.push(notSupported("spec.state", state ?? "", ["Paused", "Running"]));
  if (endMicros !== undefined && !(Number.isSafeInteger(endMicros) && endMicros >= startMicros)) {
    causes.push(invalidValue("spec.endMicros", endMicros, "must be an integer not before startMicros"));
  }
  if (old === undefined) return causes;
  const { endMicros: _end, endCause: _cause, ...opened } = spec;
  const { endMicros: oldEnd, endCause: oldCause, ...oldOpened } = old.spec;
  causes.push(...validateUnchanged(opened, oldOpened, "spec", true));
  // What was billed once is never billed otherwise.
  if (oldEnd !== undefined) {
    causes.push(...validateUnchanged([endMicros, spec.endCause], [oldEnd, oldCause], "spec.endMicros", true));
  }
  return causes;
}

const requiredPrices = ["vcpuSecondMicros", "gibSecondMicros"] as const;
const pausedPrices = ["pausedVcpuSecondMicros", "pausedGibSecondMicros"] as const;

export function validatePriceList(list: PriceList, old: PriceList | undefined): readonly StatusCause[] {
  const spec: Partial<PriceList["spec"]> = list.spec ?? {};
  const causes: StatusCause[] = [];
  if (!currencyCode.test(spec.currency ?? "")) {
    causes.push(invalidValue("spec.currency", spec.currency ?? "", "must be a three-letter ISO 4217 code, as in EUR"));
  }
  if (Number.isNaN(Date.parse(spec.effectiveFrom ?? ""))) {
    causes.push(
      invalidValue(
        "spec.effectiveFrom",
        spec.effectiveFrom ?? "",
        "must be an RFC 3339 time, as in 2026-01-01T00:00:00Z",
      ),
    );
  }
  for (const key of [...requiredPrices, ...pausedPrices]) {
    const price = spec[key];
    if (price === undefined) {
      if (requiredPrices.some((one) => one === key)) causes.push(required(`spec.${key}`));
    } else if (!(Number.isSafeInteger(price) && price >= 0)) {
      causes.push(invalidValue(`spec.${key}`, price, "must be an integer of millionths, 0 or more"));
    }
  }
  // Invoices are recomputed from price lists: a new price is a new list.
  return [...causes, ...validateUnchanged(list.spec, old?.spec, "spec", old !== undefined)];
}

/** First address, number of addresses, and what every IPv4 host takes the network for. */
const unusableNetworks: readonly (readonly [string, number, string])[] = [
  ["0.0.0.0", 2 ** 24, "this network"],
  ["127.0.0.0", 2 ** 24, "loopback"],
  ["169.254.0.0", 2 ** 16, "link-local, where the gateway lives"],
  ["224.0.0.0", 2 ** 29, "multicast and reserved"],
];

function validateCidr(cidr: string, field: string): readonly StatusCause[] {
  const [address = "", length = "", ...rest] = cidr.split("/");
  const prefix = /^\d{1,2}$/.test(length) ? Number(length) : -1;
  if (!isIPv4(address) || prefix < 0 || prefix > 32 || rest.length > 0) {
    return [invalidValue(field, cidr, "must be an IPv4 network, as in 10.64.0.0/16")];
  }
  if (prefix < prefixLengths.shortest || prefix > prefixLengths.longest) {
    const detail = `the prefix must be from /${prefixLengths.shortest} to /${prefixLengths.longest}`;
    return [invalidValue(field, cidr, detail)];
  }
  const first = toNumber(address);
  const size = 2 ** (32 - prefix);
  if (first % size !== 0) return [invalidValue(field, cidr, "must have no bits set beyond the prefix")];
  for (const [network, count, meaning] of unusableNetworks) {
    const start = toNumber(network);
    if (first < start + count && start < first + size) {
      return [invalidValue(field, cidr, `must not overlap ${network} (${meaning}); choose a private network`)];
    }
  }
  return [];
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function validateVpcName(name: string | undefined): readonly StatusCause[] {
  if (name === undefined || name === "") return [required("spec.vpc")];
  return problems("spec.vpc", name, dns1123LabelProblems(name));
}

function validateAddress(address: string | undefined): readonly StatusCause[] {
  if (address !== undefined && isIPv4(address)) return [];
  return [invalidValue("spec.address", address ?? "", "must be an IPv4 address")];
}

function requireTexts<T extends object>(
  object: T,
  keys: readonly (keyof T & string)[],
  path = "spec",
): readonly StatusCause[] {
  return keys.filter((key) => (object[key] ?? "") === "").map((key) => required(`${path}.${key}`));
}

function requirePositive<T extends object>(object: T, keys: readonly (keyof T & string)[]): readonly StatusCause[] {
  return keys
    .filter((key) => !(Number.isSafeInteger(object[key]) && Number(object[key]) > 0))
    .map((key) => invalidValue(`spec.${key}`, object[key] ?? 0, "must be an integer above 0"));
}

function validateUnchanged(value: unknown, old: unknown, field: string, isUpdate: boolean): readonly StatusCause[] {
  if (!isUpdate || isSameJson(value, old)) return [];
  return [invalidValue(field, value, "field is immutable")];
}
