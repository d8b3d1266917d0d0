/** Why one field, or the whole request, was refused. The first eight are `field.ErrorType`s of kube-apiserver. */
export type StatusCauseReason =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueDuplicate"
  | "FieldValueNotSupported"
  | "FieldValueNotFound"
  | "FieldValueForbidden"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError"
  | "FieldManagerConflict"
  | "ResourceVersionTooLarge"
  | "UnexpectedServerResponse"
  | "NamespaceTerminating"
  | "DisruptionBudget"
  | "ExitCode";

export interface StatusCause {
  readonly reason: StatusCauseReason;
  /** For field errors: without the field's path in front, as kube-apiserver sends it. */
  readonly message: string;
  /** `spec.containers[0].image`; absent when no one field is to blame. */
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** The body of every answer that is not an object. */
export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  /** HTTP status. */
  readonly code: number;
}
