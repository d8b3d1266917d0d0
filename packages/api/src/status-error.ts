import { findCause, IsopodError } from "@isopod/base";
import type { Status, StatusCause, StatusDetails } from "./types/status.ts";

/** HTTP status of each reason a Kubernetes `Status` can carry. */
export const statusReasons = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  Gone: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServerTimeout: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

export type StatusReason = keyof typeof statusReasons;

/** What an error is about; a `ResourceDefinition` fits. */
export interface ResourceName {
  readonly group: string;
  readonly plural: string;
}

export interface KindName {
  readonly group: string;
  readonly kind: string;
}

/** An answer other than success, on either side of the wire. `code` is the status reason. */
export class ApiError extends IsopodError<StatusReason> {
  /** Complete, ready to be the response body. */
  readonly status: Status;

  constructor(status: Status, cause?: unknown) {
    super(status.message ?? status.reason ?? `HTTP status ${status.code}`, {
      code: reasonOf(status),
      stage: "api",
      ...(cause === undefined ? {} : { cause }),
    });
    this.status = status;
  }
}

/** The error a received `Status` stands for; a reason this program does not know is taken from the HTTP status. */
export function apiErrorFromStatus(status: Status): ApiError {
  return new ApiError(status);
}

/** kube-apiserver's words for a body or query that makes no sense. */
export function badRequest(message: string, cause?: unknown): ApiError {
  return apiError("BadRequest", message, undefined, cause);
}

export function unauthorized(message = "Unauthorized"): ApiError {
  return apiError("Unauthorized", message);
}

/** `pods "x" is forbidden: why`. */
export function forbidden(
  resource: ResourceName,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): ApiError {
  const subject = name === "" ? resourceText(resource) : `${resourceText(resource)} ${quote(name)}`;
  return apiError("Forbidden", `${subject} is forbidden: ${why}`, {
    ...objectDetails(resource, name),
    ...(causes === undefined ? {} : { causes }),
  });
}

/** `pods "x" not found`. */
export function notFound(resource: ResourceName, name: string): ApiError {
  return apiError("NotFound", `${resourceText(resource)} ${quote(name)} not found`, objectDetails(resource, name));
}

/** For a path that names no resource at all. */
export function pathNotFound(): ApiError {
  return apiError("NotFound", "the server could not find the requested resource", {});
}

/** `pods "x" already exists`. */
export function alreadyExists(resource: ResourceName, name: string): ApiError {
  const message = `${resourceText(resource)} ${quote(name)} already exists`;
  return apiError("AlreadyExists", message, objectDetails(resource, name));
}

export const staleObjectMessage =
  "the object has been modified; please apply your changes to the latest version and try again";

/** `Operation cannot be fulfilled on pods "x": why`; by default that another version is current. */
export function conflict(resource: ResourceName, name: string, why: string = staleObjectMessage): ApiError {
  const message = `Operation cannot be fulfilled on ${resourceText(resource)} ${quote(name)}: ${why}`;
  return apiError("Conflict", message, objectDetails(resource, name));
}

/** `Pod "x" is invalid: spec.containers[0].image: Required value`; several causes are listed in brackets. */
export function invalid(kind: KindName, name: string, causes: readonly StatusCause[]): ApiError {
  const subject = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  const texts = [...new Set(causes.map(causeText))];
  const list = texts.length > 1 ? `[${texts.join(", ")}]` : texts.join("");
  const message = `${subject} ${quote(name)} is invalid${list === "" ? "" : `: ${list}`}`;
  return apiError("Invalid", message, { ...groupDetails(kind.group), kind: kind.kind, name, causes });
}

/** 410: history the client asked for is gone. `continueToken` lets it go on with an inconsistent list. */
export function expired(message: string, continueToken?: string): ApiError {
  const error = apiError("Expired", message);
  if (continueToken === undefined) return error;
  return new ApiError({ ...error.status, metadata: { continue: continueToken } });
}

export function tooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return apiError("TooManyRequests", message, { retryAfterSeconds });
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const list = accepted.join(", ");
  const message = `the body of the request was in an unknown format - accepted media types include: ${list}`;
  return apiError("UnsupportedMediaType", message);
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  return apiError("NotAcceptable", `only the following media types are accepted: ${accepted.join(", ")}`);
}

/** `create is not supported on resources of kind "pods"`. */
export function methodNotAllowed(resource: ResourceName, action: string): ApiError {
  const message = `${action} is not supported on resources of kind ${quote(resourceText(resource))}`;
  return apiError("MethodNotAllowed", message, { ...groupDetails(resource.group), kind: resource.plural });
}

export function requestTooLarge(limitBytes: number): ApiError {
  return apiError("RequestEntityTooLarge", `Request entity too large: limit is ${limitBytes}`);
}

/** `why` reaches the client: no secrets, no stack. The cause stays in the process, for its log. */
export function internal(why: string, cause?: unknown): ApiError {
  return apiError("InternalError", `Internal error occurred: ${why}`, undefined, cause);
}

export function serviceUnavailable(message: string, cause?: unknown): ApiError {
  return apiError("ServiceUnavailable", message, undefined, cause);
}

export function timeout(message: string, retryAfterSeconds = 0, causes?: readonly StatusCause[]): ApiError {
  return apiError("Timeout", `Timeout: ${message}`, {
    ...(retryAfterSeconds > 0 ? { retryAfterSeconds } : {}),
    ...(causes === undefined ? {} : { causes }),
  });
}

/** 504 with the cause that makes client-go start over without a version. */
export function resourceVersionTooLarge(asked: string, current: string): ApiError {
  const message = `Too large resource version: ${asked}, current: ${current}`;
  return timeout(message, 1, [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }]);
}

export const isNotFound = (error: unknown): boolean => hasReason(error, "NotFound");
export const isAlreadyExists = (error: unknown): boolean => hasReason(error, "AlreadyExists");
export const isConflict = (error: unknown): boolean => hasReason(error, "Conflict");
export const isInvalid = (error: unknown): boolean => hasReason(error, "Invalid");
export const isForbidden = (error: unknown): boolean => hasReason(error, "Forbidden");
/** True for both words 410 has: `Expired` and `Gone`. */
export const isExpired = (error: unknown): boolean => hasReason(error, "Expired") || hasReason(error, "Gone");

/** True when the error, or one of its causes, is an `ApiError` of that reason. */
export function hasReason(error: unknown, reason: StatusReason): boolean {
  return apiErrorIn(error)?.code === reason;
}

/** The `ApiError` in the chain of causes. */
export function apiErrorIn(error: unknown): ApiError | undefined {
  return findCause(error, (candidate): candidate is ApiError => candidate instanceof ApiError);
}

function apiError(reason: StatusReason, message: string, details?: StatusDetails, cause?: unknown): ApiError {
  return new ApiError(
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code: statusReasons[reason],
    },
    cause,
  );
}

function reasonOf(status: Status): StatusReason {
  if (isStatusReason(status.reason)) return status.reason;
  // 409 is said of both AlreadyExists and Conflict: without a reason, the one that makes callers look again.
  if (status.code === 409) return "Conflict";
  for (const [reason, code] of Object.entries(statusReasons)) {
    if (code === status.code && isStatusReason(reason)) return reason;
  }
  return status.code >= 400 && status.code < 500 ? "BadRequest" : "InternalError";
}

function isStatusReason(reason: string | undefined): reason is StatusReason {
  return reason !== undefined && Object.hasOwn(statusReasons, reason);
}

function causeText(cause: StatusCause): string {
  return cause.field === undefined ? cause.message : `${cause.field}: ${cause.message}`;
}

function objectDetails(resource: ResourceName, name: string): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...groupDetails(resource.group), kind: resource.plural };
}

function groupDetails(group: string): StatusDetails {
  return group === "" ? {} : { group };
}

/** `pods`, `leases.coordination.k8s.io`: as kube-apiserver names a resource in a sentence. */
function resourceText(resource: ResourceName): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
