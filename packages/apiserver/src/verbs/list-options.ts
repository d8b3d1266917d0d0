import { badRequest, invalid, type StatusCause } from "@isopod/api";
import { parseBoolean, parseInteger } from "../http/write-options.ts";
import { type ContinueToken, parseContinue } from "./continue-token.ts";

/** Which state of the collection is wanted. */
export type ListRevision =
  | { readonly type: "current" }
  /** The current state, once the store has reached the revision. */
  | { readonly type: "not-older-than"; readonly revision: number }
  | { readonly type: "exact"; readonly revision: number };

export interface ListOptions {
  readonly limit: number;
  readonly continue: ContinueToken | undefined;
  readonly revision: ListRevision;
}

export interface WatchOptions {
  /** Undefined: start with the current objects. */
  readonly revision: number | undefined;
  readonly sendsInitialEvents: boolean | undefined;
  readonly allowsBookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

const forbidden = (field: string, message: string): StatusCause => ({
  reason: "FieldValueForbidden",
  message: `Forbidden: ${message}`,
  field,
});

/** The rules of apimachinery's ValidateListOptions (1.35): combinations that mean nothing are refused with 422. */
function check(query: URLSearchParams, isWatch: boolean): void {
  const version = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  const sendsInitialEvents = query.get("sendInitialEvents") !== null;
  const causes: StatusCause[] = [];
  if (match !== "") {
    const field = "resourceVersionMatch";
    if (isWatch) {
      if (!sendsInitialEvents) {
        causes.push(
          forbidden(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
        );
      }
    } else {
      if (version === "") {
        causes.push(forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
      }
      if ((query.get("continue") ?? "") !== "") {
        causes.push(forbidden(field, "resourceVersionMatch is forbidden for continue"));
      }
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      const known = '"Exact", "NotOlderThan"';
      causes.push({
        reason: "FieldValueNotSupported",
        message: `Unsupported value: ${JSON.stringify(match)}: supported values: ${known}`,
        field,
      });
    }
    if (match === "Exact" && version === "0") {
      causes.push(forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
    }
  }
  if (sendsInitialEvents) {
    if (!isWatch) causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    else if (match !== "NotOlderThan") {
      const why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
      causes.push(forbidden("resourceVersionMatch", why));
    }
  }
  if (causes.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", causes);
}

/** Throws BadRequest, or Invalid for combinations that are not allowed. */
export function parseListOptions(query: URLSearchParams): ListOptions {
  check(query, false);
  const limit = parseInteger(query, "limit") ?? 0;
  if (limit < 0) throw badRequest(`limit: Invalid value: ${limit}: must be greater than or equal to 0`);
  const version = query.get("resourceVersion") ?? "";
  const token = query.get("continue") ?? "";
  if (token !== "" && version !== "" && version !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  return {
    limit,
    continue: token === "" ? undefined : parseContinue(token),
    revision: listRevision(version, query.get("resourceVersionMatch") ?? "", limit),
  };
}

function listRevision(version: string, match: string, limit: number): ListRevision {
  if (version === "" || version === "0") return { type: "current" };
  const revision = parseVersion(version);
  // Without a match, a limit has always made the version exact.
  if (match === "Exact" || (match === "" && limit > 0)) return { type: "exact", revision };
  return { type: "not-older-than", revision };
}

/** Throws BadRequest, or Invalid for combinations that are not allowed. */
export function parseWatchOptions(query: URLSearchParams): WatchOptions {
  check(query, true);
  const version = query.get("resourceVersion") ?? "";
  const timeoutSeconds = parseInteger(query, "timeoutSeconds");
  return {
    revision: version === "" || version === "0" ? undefined : parseVersion(version),
    sendsInitialEvents: parseBoolean(query, "sendInitialEvents"),
    allowsBookmarks: parseBoolean(query, "allowWatchBookmarks") ?? false,
    timeoutSeconds: timeoutSeconds !== undefined && timeoutSeconds > 0 ? timeoutSeconds : undefined,
  };
}

function parseVersion(text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`);
  }
  return Number(text);
}
