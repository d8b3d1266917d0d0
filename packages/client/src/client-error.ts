import { IsopodError, isAbort, systemErrorCode } from "@isopod/base";

export const clientErrorCodes = [
  "Unreachable",
  "Timeout",
  "AnswerTooLarge",
  "InvalidKubeconfig",
  "BrokenStream",
] as const;
export type ClientErrorCode = (typeof clientErrorCodes)[number];

/** The API server could not be asked; what it answered is an `ApiError`. */
export class ClientError extends IsopodError<ClientErrorCode> {}

/** What Node says of a connection → {@link ClientError}; aborts and our own errors pass through. */
export function translateConnectionError(error: Error, server: string): Error {
  if (error instanceof ClientError || isAbort(error)) return error;
  const refused = systemErrorCode(error) === "ECONNREFUSED";
  return new ClientError(
    refused ? `nothing listens at ${server}` : `the connection to ${server} failed: ${error.message}`,
    {
      code: "Unreachable",
      object: server,
      remedy: refused
        ? "Start the service with `isopod up`, or point KUBECONFIG at one that runs."
        : "See whether the service runs, and whether KUBECONFIG belongs to it.",
      cause: error,
    },
  );
}
