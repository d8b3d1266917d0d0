export { CliError, type CliErrorCode, cliErrorCodes, formatError } from "./cli-error.ts";
