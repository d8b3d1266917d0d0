import { IsopodError } from "@isopod/base";
import { type AgentFailureCode, agentFailureCodes } from "./contract.ts";

export const guestErrorCodes = [
  ...agentFailureCodes,
  /** No agent answered in time: the VM hangs, or another client holds its port. */
  "Unreachable",
  /** The session ended while the call was under way: the VM ended, or the port was taken away. */
  "Disconnected",
  /** The agent did not answer this call in time. */
  "TimedOut",
  /** The agent answered something the contract does not allow. */
  "BadAnswer",
] as const;
export type GuestErrorCode = (typeof guestErrorCodes)[number];

/** What the agent refused (its own code and words), or why it could not be asked. */
export class GuestError extends IsopodError<GuestErrorCode> {}

export function isAgentFailureCode(text: string): text is AgentFailureCode {
  return agentFailureCodes.some((code) => code === text);
}
