/** Aborted by the first Ctrl-C, or `kill`; a second one ends the process as ever. */
export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

/** Takes SIGINT and SIGTERM until it is disposed of, so that what was begun can be taken back. */
export function catchInterruption(): Interruption {
  const stop = new AbortController();
  const interrupted = (): void => stop.abort(new Error("interrupted"));
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => {
      process.off("SIGINT", interrupted);
      process.off("SIGTERM", interrupted);
    },
  };
}

/** What a process ends with that a person interrupted. */
export const interruptedStatus = 130;
