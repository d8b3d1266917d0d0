import { type ErrorDetails, IsopodError } from "@isopod/base";

export const apiServerErrorCodes = [
  /** Another process listens on the port. */
  "PortInUse",
  /** The address to listen on is not this machine's, or the port is not ours to take. */
  "CannotListen",
  /** A certificate, key or token handed to the server cannot be used. */
  "BadCredentials",
] as const;
export type ApiServerErrorCode = (typeof apiServerErrorCodes)[number];

/** What can go wrong with the server itself; what goes wrong with a request is an `ApiError`. */
export class ApiServerError extends IsopodError<ApiServerErrorCode> {
  constructor(message: string, details: ErrorDetails<ApiServerErrorCode>) {
    super(message, { stage: "apiserver", ...details });
  }
}
