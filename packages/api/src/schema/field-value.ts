import { IsopodError } from "@isopod/base";
import { formatQuantity, parseQuantityValue } from "../quantity.ts";

export type FieldValueErrorCode = "BadFieldValue";

/** A field holds a value that its type cannot take; the message is what Go's decoder would say. */
export class FieldValueError extends IsopodError<FieldValueErrorCode> {
  constructor(message: string, details: { readonly object?: string; readonly cause?: unknown }) {
    super(message, { code: "BadFieldValue", stage: "decode", ...details });
  }
}

/** The JSON type of a value in the words of Go's decoder. */
export function goValueName(value: unknown): string {
  switch (typeof value) {
    case "string":
      return "string";
    case "boolean":
      return "bool";
    case "number":
      return Number.isSafeInteger(value) && Math.abs(value) < 2 ** 31 ? "number" : `number ${value}`;
    default:
      return Array.isArray(value) ? "array" : value === null ? "null" : "object";
  }
}

/** Objects repeat a few quantities; parsing one costs a microsecond, finding it a twentieth of that. */
const quantities = new Map<string, string>();
const maxCachedQuantities = 4096;
const maxCachedLength = 32;

/** A quantity in canonical form: `0.5` and `"0.5"` become `500m`. */
export function canonicalQuantity(value: unknown): string {
  const known = typeof value === "string" ? quantities.get(value) : undefined;
  if (known !== undefined) return known;
  let canonical: string;
  try {
    canonical = formatQuantity(parseQuantityValue(typeof value === "string" ? value.trim() : value));
  } catch (cause) {
    throw new FieldValueError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (typeof value === "string" && value.length <= maxCachedLength) {
    if (quantities.size >= maxCachedQuantities) quantities.clear();
    quantities.set(value, canonical);
  }
  return canonical;
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:[.,](\d{1,9}))?(?:Z|[+-]\d{2}:\d{2})$/;

/** An RFC 3339 time in UTC, with seconds (`time`) or microseconds (`microtime`). */
export function canonicalTime(text: string, kind: "time" | "microtime"): string {
  const match = rfc3339.exec(text);
  const timeMs = match === null ? Number.NaN : Date.parse(text.replace(",", "."));
  // The engine takes 31 February for 3 March; the day of the month must come back as it went in.
  const dayMs = match === null ? Number.NaN : Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  if (Number.isNaN(timeMs) || Number.isNaN(dayMs) || new Date(dayMs).getUTCDate() !== Number(text.slice(8, 10))) {
    throw badTime(text, kind);
  }
  const seconds = new Date(timeMs).toISOString().slice(0, 19);
  if (kind === "time") return `${seconds}Z`;
  return `${seconds}.${(match?.[1] ?? "").slice(0, 6).padEnd(6, "0")}Z`;
}

function badTime(text: string, kind: "time" | "microtime"): FieldValueError {
  const layout = kind === "time" ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00";
  let rest = text;
  for (const part of ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"]) {
    const isMatch = part.length === 1 ? rest.startsWith(part) : /^\d+$/.test(rest.slice(0, part.length));
    if (!isMatch || rest.length < part.length) {
      const why = `cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(part)}`;
      return new FieldValueError(`parsing time ${JSON.stringify(text)} as "${layout}": ${why}`, {});
    }
    rest = rest.slice(part.length);
  }
  return new FieldValueError(`parsing time ${JSON.stringify(text)} as "${layout}": no such time`, {});
}

/** Standard base64 with padding, line ends removed. */
export function canonicalBase64(text: string): string {
  const clean = text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]/g, "") : text;
  const end = clean.endsWith("==") ? clean.length - 2 : clean.endsWith("=") ? clean.length - 1 : clean.length;
  for (let index = 0; index < end; index++) {
    if (!isBase64Digit(clean.charCodeAt(index))) throw illegalBase64(index);
  }
  if (clean.length % 4 !== 0) throw illegalBase64(clean.length - (clean.length % 4));
  return clean;
}

function illegalBase64(index: number): FieldValueError {
  return new FieldValueError(`illegal base64 data at input byte ${index}`, {});
}

function isBase64Digit(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 65 && code <= 90) ||
    (code >= 48 && code <= 57) ||
    code === 43 ||
    code === 47
  );
}
