import { badRequest } from "@isopod/api";

/** Where the next page of a list begins. */
export interface ContinueToken {
  /** The revision of the first page; undefined for a list that goes on with whatever is current. */
  readonly revision: number | undefined;
  /** The last key already sent. */
  readonly after: string;
}

/** Opaque to clients; versioned like kube-apiserver's, so that a foreign one is refused. */
export function formatContinue({ revision, after }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: "isopod.dev/v1", rv: revision ?? -1, after })).toString("base64url");
}

/** Throws BadRequest. */
export function parseContinue(text: string): ContinueToken {
  try {
    const token: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (
      typeof token === "object" &&
      token !== null &&
      "v" in token &&
      token.v === "isopod.dev/v1" &&
      "rv" in token &&
      Number.isSafeInteger(token.rv) &&
      "after" in token &&
      typeof token.after === "string"
    ) {
      const revision = Number(token.rv);
      return { revision: revision < 0 ? undefined : revision, after: token.after };
    }
  } catch {
    // Not ours, like everything that is not our JSON.
  }
  throw badRequest("continue key is not valid");
}
