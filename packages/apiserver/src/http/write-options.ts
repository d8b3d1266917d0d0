import { badRequest, invalid, type StatusCause } from "@isopod/api";

export const fieldValidations = ["Strict", "Warn", "Ignore"] as const;
export type FieldValidation = (typeof fieldValidations)[number];

/** Query parameters that every write takes. */
export interface WriteOptions {
  readonly isDryRun: boolean;
  readonly fieldValidation: FieldValidation;
}

/** `kind` names the options object in errors: `CreateOptions`, `UpdateOptions`, `PatchOptions`, `DeleteOptions`. */
export function parseWriteOptions(query: URLSearchParams, kind: string): WriteOptions {
  const causes: StatusCause[] = [];
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  causes.push(...dryRunCauses(dryRun));
  const manager = query.get("fieldManager") ?? "";
  if (manager.length > 128) {
    causes.push({
      reason: "FieldValueTooLong",
      message: "Too long: may not be more than 128 bytes",
      field: "fieldManager",
    });
  }
  const validation = query.get("fieldValidation") ?? "";
  const fieldValidation = validation === "" ? "Warn" : fieldValidations.find((known) => known === validation);
  if (fieldValidation === undefined) {
    causes.push({
      reason: "FieldValueNotSupported",
      message: `Unsupported value: ${JSON.stringify(validation)}: supported values: "Ignore", "Strict", "Warn"`,
      field: "fieldValidation",
    });
  }
  if (causes.length > 0 || fieldValidation === undefined) throw invalid({ group: "meta.k8s.io", kind }, "", causes);
  return { isDryRun: dryRun.length > 0, fieldValidation };
}

export function dryRunCauses(values: readonly string[]): readonly StatusCause[] {
  return values
    .filter((value) => value !== "All")
    .map((value) => ({
      reason: "FieldValueNotSupported",
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: "All"`,
      field: "dryRun",
    }));
}

/** A query parameter that is a whole number; undefined when absent. Throws BadRequest. */
export function parseInteger(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be an integer`);
  return value;
}

/** As Go's strconv.ParseBool, with an empty value for true (`?watch`). Throws BadRequest. */
export function parseBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (["", "1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be a boolean`);
}
