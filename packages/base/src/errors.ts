/**
 * The root of every error Isopod throws on purpose.
 *
 * Each layer derives one class with a closed set of codes. What a user meets always names three things:
 * the `stage` that failed, the `object` it failed on, and the `remedy`. Foreign errors are translated once,
 * at the layer that called them, and kept as `cause`.
 */
export interface ErrorDetails<Code extends string> {
  readonly code: Code;
  /** The step that failed, as users know it: pull, convert, network, boot, start, … */
  readonly stage?: string;
  /** The thing it failed on: an image reference, a pod, a path. */
  readonly object?: string;
  /** What the user can do about it, as a full sentence. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

export class IsopodError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly stage: string | undefined;
  readonly object: string | undefined;
  readonly remedy: string | undefined;

  constructor(message: string, details: ErrorDetails<Code>) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.stage = details.stage;
    this.object = details.object;
    this.remedy = details.remedy;
  }
}

/** Walks the chain of causes and returns the first error that satisfies `is`. */
export function findCause<T>(error: unknown, is: (candidate: unknown) => candidate is T): T | undefined {
  let candidate: unknown = error;
  // A chain longer than this is a cycle.
  for (let depth = 0; depth < 32 && candidate !== undefined && candidate !== null; depth++) {
    if (is(candidate)) return candidate;
    candidate = candidate instanceof Error ? candidate.cause : undefined;
  }
  return undefined;
}

/** True when the error, or one of its causes, is an abort of the signal the caller passed. */
export function isAbort(error: unknown): boolean {
  return (
    findCause(error, (candidate): candidate is Error => {
      return candidate instanceof Error && (candidate.name === "AbortError" || candidate.name === "TimeoutError");
    }) !== undefined
  );
}

/** The code of a Node system error (`ENOENT`, `ECONNREFUSED`, …) anywhere in the chain of causes. */
export function systemErrorCode(error: unknown): string | undefined {
  const found = findCause(error, (candidate): candidate is NodeJS.ErrnoException => {
    return candidate instanceof Error && "syscall" in candidate && "code" in candidate;
  });
  return found?.code;
}

/** One line for a log or a terminal: the message, then each distinct cause. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let candidate: unknown = error;
  for (let depth = 0; depth < 32 && candidate !== undefined && candidate !== null; depth++) {
    const text = candidate instanceof Error ? candidate.message : String(candidate);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    candidate = candidate instanceof Error ? candidate.cause : undefined;
  }
  return parts.join(": ");
}
