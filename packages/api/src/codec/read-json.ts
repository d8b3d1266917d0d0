import { badRequest } from "../status-error.ts";
import { duplicateFieldsOf } from "./duplicate-fields.ts";
import { countMembers, scanJson } from "./json-scan.ts";

/** Deeper bodies are refused: every walk over a value is recursive. No kind nests half as deep. */
export const maxDepth = 100;

export interface JsonBody {
  readonly value: unknown;
  readonly bytes: Uint8Array;
  /** Members of all objects in the text, repeated keys counted each time. */
  readonly members: number;
}

/** Parses JSON whose depth is bounded. Throws `BadRequest`. */
export function readJson(bytes: Uint8Array): JsonBody {
  const { depth, members } = scanJson(bytes);
  if (depth > maxDepth) throw badRequest("json: exceeded max depth");
  try {
    return { value: JSON.parse(textOf(bytes)), bytes, members };
  } catch (cause) {
    throw badRequest(
      `couldn't get version/kind; json parse error: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    );
  }
}

/** Whether some object of the text has a key twice. */
export function hasDuplicates(body: JsonBody): boolean {
  return body.members !== countMembers(body.value);
}

/** The keys that come twice, anywhere in the text, in kube-apiserver's words. */
export function duplicateFields(body: JsonBody): readonly string[] {
  return hasDuplicates(body) ? duplicateFieldsOf(textOf(body.bytes)) : [];
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
