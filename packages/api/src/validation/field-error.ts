import type { StatusCause } from "../types/status.ts";

/** One refused field in kube-apiserver's words. */
export function required(field: string, detail = ""): StatusCause {
  return { reason: "FieldValueRequired", message: withDetail("Required value", detail), field };
}

export function invalidValue(field: string, value: unknown, detail: string): StatusCause {
  return { reason: "FieldValueInvalid", message: withDetail(`Invalid value: ${show(value)}`, detail), field };
}

export function duplicate(field: string, value: unknown): StatusCause {
  return { reason: "FieldValueDuplicate", message: `Duplicate value: ${show(value)}`, field };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): StatusCause {
  const list = supported.map((one) => JSON.stringify(one)).join(", ");
  return {
    reason: "FieldValueNotSupported",
    message: `Unsupported value: ${show(value)}: supported values: ${list}`,
    field,
  };
}

export function missing(field: string, value: unknown): StatusCause {
  return { reason: "FieldValueNotFound", message: `Not found: ${show(value)}`, field };
}

export function forbiddenField(field: string, detail: string): StatusCause {
  return { reason: "FieldValueForbidden", message: withDetail("Forbidden", detail), field };
}

export function tooLong(field: string, limitBytes: number): StatusCause {
  return { reason: "FieldValueTooLong", message: `Too long: may not be more than ${limitBytes} bytes`, field };
}

/** Sentences of `…Problems` functions, each as a cause. */
export function problems(field: string, value: unknown, sentences: readonly string[]): readonly StatusCause[] {
  return sentences.map((sentence) => invalidValue(field, value, sentence));
}

/** A member of a map: `limits[cpu]`. */
export function keyed(field: string, key: string): string {
  return `${field}[${key}]`;
}

function withDetail(text: string, detail: string): string {
  return detail === "" ? text : `${text}: ${detail}`;
}

/** Long values are cut: the answer goes to whoever sent them, but also to logs. */
const maxShownLength = 512;

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}…` : text;
}
