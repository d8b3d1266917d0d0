export { NodeAgent, type NodeAgentOptions } from "./node-agent.ts";
export { NodeError, type NodeErrorCode, nodeErrorCodes } from "./node-error.ts";
