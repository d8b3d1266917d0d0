/** What a bench is asked to do. */
export interface BenchOptions {
  /** File for the figures as JSON. */
  readonly json: string | undefined;
  /** How often the quickest things are measured; slower ones less often. */
  readonly rounds: number;
  /** Only these parts; empty: all. */
  readonly parts: readonly string[];
  /** Aborted by Ctrl-C: measuring stops, and everything is cleaned up. */
  readonly signal: AbortSignal;
}
