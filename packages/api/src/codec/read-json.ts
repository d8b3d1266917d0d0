import { badRequest } from "../status-error.ts";
import { duplicateFieldsOf } from "./duplicate-fields.ts";
import { countMembers, scanJson } from "./json-scan.ts";

/** Deeper bodies are refused: every walk over a value is recursive. No kind nests half as deep. */
export const maxDepth = 100;

/** Parses JSON whose depth is bounded. Throws `BadRequest`. */
export function readJson(bytes: Uint8Array): unknown {
  if (scanJson(bytes).depth > maxDepth) throw badRequest("json: exceeded max depth");
  try {
    return JSON.parse(textOf(bytes));
  } catch (cause) {
    throw badRequest(
      `couldn't get version/kind; json parse error: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    );
  }
}

/** Repeated fields anywhere in a JSON text. */
export function duplicateFields(bytes: Uint8Array, parsed: unknown): readonly string[] {
  return hasDuplicates(bytes, parsed) ? duplicateFieldsOf(textOf(bytes)) : [];
}

/** Whether some object of a JSON text has a key twice. */
export function hasDuplicates(json: Uint8Array, parsed: unknown): boolean {
  return scanJson(json).members !== countMembers(parsed);
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
