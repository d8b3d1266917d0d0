export { untilAborted } from "./abort.ts";
export { writeFileAtomically } from "./atomic-file.ts";
export { type BackoffOptions, backoffDelayMs, type RetryOptions, retry } from "./backoff.ts";
export { type Clock, systemClock } from "./clock.ts";
export { type TemporaryDirectory, temporaryDirectory } from "./disposables.ts";
export { describeError, type ErrorDetails, findCause, IsopodError, isAbort, systemErrorCode } from "./errors.ts";
export { createLogger, type LogFields, type Logger, type LogLevel, logLevels, silentLogger } from "./logger.ts";
export {
  CommandError,
  type CommandErrorCode,
  type CommandOutput,
  commandErrorCodes,
  debianPackageOf,
  type RunOptions,
  runCommand,
} from "./process.ts";
export { settleAll, together } from "./together.ts";
