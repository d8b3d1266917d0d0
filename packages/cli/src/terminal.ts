import type { WebSocket } from "ws";

const channels = Object.freeze({ stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 });

/** The Kubernetes subprotocol that can close stdin. */
export const channelProtocol = "v5.channel.k8s.io";

export interface TerminalOptions {
  readonly hasStdin: boolean;
  readonly isTerminal: boolean;
}

/**
 * Joins this process's standard streams to a command behind a WebSocket until it ends.
 * Resolves with the command's exit code; 1 with a message on stderr when the connection broke first.
 */
export async function joinTerminal(socket: WebSocket, { hasStdin, isTerminal }: TerminalOptions): Promise<number> {
  const { stdin, stdout } = process;
  const isRaw = isTerminal && hasStdin && stdin.isTTY;
  const send = (channel: number, payload: Uint8Array): void => {
    if (socket.readyState === socket.OPEN) socket.send(Buffer.concat([Buffer.from([channel]), payload]));
  };
  const resize = (): void => {
    send(channels.resize, Buffer.from(JSON.stringify({ Width: stdout.columns, Height: stdout.rows })));
  };
  const onData = (chunk: Buffer): void => send(channels.stdin, chunk);
  const onEnd = (): void => {
    if (socket.readyState === socket.OPEN) socket.send(Buffer.from([channels.close, channels.stdin]));
  };
  if (isTerminal && stdout.isTTY) {
    resize();
    stdout.on("resize", resize);
  }
  if (hasStdin) {
    if (isRaw) stdin.setRawMode(true);
    stdin.on("data", onData);
    stdin.on("end", onEnd);
    stdin.resume();
  }
  let exitCode: number | undefined;
  try {
    await new Promise<void>((resolve) => {
      socket.on("message", (data) => {
        const message = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
        const payload = message.subarray(1);
        if (message[0] === channels.stdout) stdout.write(payload);
        else if (message[0] === channels.stderr) process.stderr.write(payload);
        else if (message[0] === channels.error) exitCode = exitCodeOf(payload);
      });
      socket.once("close", () => resolve());
      socket.once("error", () => resolve());
    });
  } finally {
    stdout.off("resize", resize);
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    if (isRaw) stdin.setRawMode(false);
    stdin.pause();
  }
  if (exitCode === undefined)
    process.stderr.write("isopod: the connection to the instance ended before the command did\n");
  return exitCode ?? 1;
}

interface ExecStatus {
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

function exitCodeOf(payload: Buffer): number {
  const status = JSON.parse(payload.toString("utf8")) as ExecStatus;
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find((one) => one.reason === "ExitCode");
  if (cause?.message !== undefined) return Number(cause.message);
  process.stderr.write(`isopod: ${status.message ?? "the command could not be run"}\n`);
  return 1;
}
