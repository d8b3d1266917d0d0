import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Structured fields of a log line; keys carry their unit (`elapsedMs`). */
export type LogFields = Readonly<Record<string, unknown>>;

/** What components log to. Pass it in; nothing logs to a global. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** JSON lines on standard error, by pino, written synchronously so that a crash loses none. */
export function createLogger(level: LogLevel = "info", fields: LogFields = {}): Logger {
  // Loaded here, as 12 ms of every command that logs nothing.
  const { pino } = require("pino") as typeof import("pino");
  return pino(
    { level, base: fields, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Drops everything; for tests and for callers that do not care. */
export const silentLogger: Logger = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
});
