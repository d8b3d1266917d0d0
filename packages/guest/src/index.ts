export { AttachStream, type StreamChunk } from "./attach-stream.ts";
export { type GuestArtifacts, guestArtifacts } from "./artifacts.ts";
export { type ConnectOptions, connectGuest, greetGuest } from "./connect.ts";
export * from "./contract.ts";
export { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";
export { type CallOptions, GuestClient } from "./guest-client.ts";
export { GuestError, type GuestErrorCode, guestErrorCodes } from "./guest-error.ts";
export { kernelCommandLine } from "./kernel-command-line.ts";
export type { OutputChunk } from "./output.ts";
