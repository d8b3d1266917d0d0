import { describeError, IsopodError } from "@isopod/base";

export const cliErrorCodes = ["Usage", "NotRunning", "AlreadyRunning", "StartFailed", "Refused"] as const;
export type CliErrorCode = (typeof cliErrorCodes)[number];

export class CliError extends IsopodError<CliErrorCode> {
  /** What the process ends with. */
  readonly exitStatus: number;
  constructor(
    message: string,
    details: {
      readonly code: CliErrorCode;
      readonly stage?: string;
      readonly object?: string;
      readonly remedy?: string;
      readonly cause?: unknown;
      readonly exitStatus?: number;
    },
  ) {
    super(message, details);
    this.exitStatus = details.exitStatus ?? 1;
  }
}

/** How an error is told: stage and object where known, the causes, the remedy on a line of its own. */
export function formatError(error: unknown): string {
  const lines: string[] = [];
  const stage =
    error instanceof IsopodError && error.stage !== undefined && error.stage !== "api" ? `${error.stage}: ` : "";
  lines.push(`isopod: ${stage}${describeError(error)}`);
  if (error instanceof IsopodError && error.remedy !== undefined) lines.push(`  ${error.remedy}`);
  return lines.join("\n");
}
