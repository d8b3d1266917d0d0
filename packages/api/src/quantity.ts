import { IsopodError } from "@isopod/base";

/**
 * Kubernetes quantities, exact: the value is a whole number of billionths, the smallest part the format can say.
 *
 * The three formats differ only in how they are written. Follows k8s.io/apimachinery `resource.Quantity` (1.35), save
 * that redundant signs and leading zeros never survive formatting.
 */
export interface Quantity {
  /** Billionths of one. */
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

export class QuantityError extends IsopodError<"InvalidQuantity"> {}

const nanoPerOne = 1_000_000_000n;
/** Binary quantities are capped here; decimal ones are not. */
const maxBinaryNano = (2n ** 63n - 1n) * nanoPerOne;
/** Text comes from tenants: both bounds keep the bigints small. No real quantity comes near them. */
const maxTextLength = 64;
const maxExponent = 64;

const decimalExponents = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const decimalSuffixes = new Map([...decimalExponents].map(([suffix, exponent]) => [exponent, suffix]));
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE]?)|([KMGTPE]i)|[eE]([+-]?\d+))$/;
const formatMessage = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Throws {@link QuantityError} whose message fits behind `spec.…: Invalid value: "…": `. */
export function parseQuantity(text: string): Quantity {
  const match = text.length <= maxTextLength ? pattern.exec(text) : null;
  if (match === null)
    throw quantityError(
      /^[+-]?[\d.]*\d[\d.]*[a-zA-Z]+$/.test(text) ? "unable to parse quantity's suffix" : formatMessage,
    );
  const [, sign = "", whole = "", fraction = "", decimalSuffix, binarySuffix, exponentText] = match;
  if (whole === "" && fraction === "") throw quantityError(formatMessage);

  const digits = BigInt(whole + fraction);
  const magnitude =
    binarySuffix === undefined
      ? scaleDecimal(digits, decimalExponent(decimalSuffix, exponentText) - fraction.length)
      : scaleBinary(digits, binarySuffixes.indexOf(binarySuffix), fraction.length);
  const nano = sign === "-" ? -magnitude : magnitude;
  // "0.5Ki" may be said in binary; less than one may not.
  const isBinary = binarySuffix !== undefined && (magnitude === 0n || magnitude >= nanoPerOne);
  if (isBinary) return { nano, format: "BinarySI" };
  return { nano, format: exponentText === undefined ? "DecimalSI" : "DecimalExponent" };
}

/** JSON bodies may carry `cpu: 2` as a number: the same as its text. */
export function parseQuantityValue(value: unknown): Quantity {
  if (typeof value === "string") return parseQuantity(value);
  if (typeof value === "number" && Number.isFinite(value)) return parseQuantity(String(value));
  throw quantityError(formatMessage);
}

/** The canonical text: no fraction, the largest suffix that keeps the value exact. */
export function formatQuantity(quantity: Quantity): string {
  const { nano } = quantity;
  if (nano === 0n) return "0";
  const isSmall = nano > -1024n * nanoPerOne && nano < 1024n * nanoPerOne;
  if (quantity.format === "BinarySI" && !isSmall && nano % nanoPerOne === 0n) return formatBinary(nano / nanoPerOne);

  let mantissa = nano;
  let exponent = -9;
  while (mantissa % 1000n === 0n && (quantity.format === "DecimalExponent" || exponent < 18)) {
    mantissa /= 1000n;
    exponent += 3;
  }
  if (quantity.format === "DecimalExponent") return exponent === 0 ? String(mantissa) : `${mantissa}e${exponent}`;
  return `${mantissa}${decimalSuffixes.get(exponent) ?? ""}`;
}

/** Negative, zero or positive, as sort functions want it. */
export function compareQuantity(a: Quantity, b: Quantity): -1 | 0 | 1 {
  if (a.nano === b.nano) return 0;
  return a.nano < b.nano ? -1 : 1;
}

/** The sum, written in the format of `a` unless that is zero. */
export function addQuantity(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** Thousandths, rounded up. Exact to 2^53. */
export function quantityToMilli(quantity: Quantity): number {
  return Number(divideUp(quantity.nano, 1_000_000n));
}

/** Whole units (bytes, for memory), rounded up. Exact to 2^53. */
export function quantityToBytes(quantity: Quantity): number {
  return Number(divideUp(quantity.nano, nanoPerOne));
}

export function quantityFromMilli(milli: number): Quantity {
  return { nano: BigInt(milli) * 1_000_000n, format: "DecimalSI" };
}

export function quantityFromBytes(bytes: number): Quantity {
  return { nano: BigInt(bytes) * nanoPerOne, format: "BinarySI" };
}

function decimalExponent(suffix: string | undefined, exponentText: string | undefined): number {
  if (exponentText === undefined) return decimalExponents.get(suffix ?? "") ?? 0;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > maxExponent) throw quantityError("unable to parse quantity's suffix");
  return exponent;
}

/** `digits` × 10^exponent in billionths; what is smaller than a billionth is rounded up. */
function scaleDecimal(digits: bigint, exponent: number): bigint {
  const shift = exponent + 9;
  return shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
}

function scaleBinary(digits: bigint, power: number, fractionDigits: number): bigint {
  const nano = divideUp(digits * 1024n ** BigInt(power) * nanoPerOne, 10n ** BigInt(fractionDigits));
  return nano > maxBinaryNano ? maxBinaryNano : nano;
}

function formatBinary(value: bigint): string {
  let mantissa = value;
  let power = 0;
  while (mantissa % 1024n === 0n && power < binarySuffixes.length - 1) {
    mantissa /= 1024n;
    power += 1;
  }
  return `${mantissa}${binarySuffixes[power] ?? ""}`;
}

/** Away from zero, as Kubernetes rounds: who asks for a little gets a little. */
function divideUp(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  if (value % divisor === 0n) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

function quantityError(message: string): QuantityError {
  return new QuantityError(message, { code: "InvalidQuantity" });
}
