import type { AttachStream } from "@isopod/guest";
import type { WebSocket } from "ws";

/** Channels of `v5.channel.k8s.io` and `v4.channel.k8s.io`: the first byte of each binary message. */
const channels = Object.freeze({ stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 });

/** Input beyond this that the guest has not taken yet makes the client wait. */
const maxWaitingBytes = 1024 * 1024;

/**
 * Joins a client's WebSocket to a command in the guest until the command ends or the client goes away.
 * The end is told on the error channel as a Kubernetes Status.
 */
export async function bridgeExec(socket: WebSocket, stream: AttachStream): Promise<void> {
  // In order, and one at a time: a resize must not overtake what was typed before it.
  let input: Promise<void> = Promise.resolve();
  let waitingBytes = 0;
  const enqueue = (sizeBytes: number, action: () => Promise<void>): void => {
    waitingBytes += sizeBytes;
    if (waitingBytes > maxWaitingBytes) socket.pause();
    input = input
      .then(action)
      .catch(() => {})
      .then(() => {
        waitingBytes -= sizeBytes;
        if (waitingBytes <= maxWaitingBytes) socket.resume();
      });
  };
  socket.on("message", (data, isBinary) => {
    const message = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
    if (!isBinary || message.length === 0) return;
    const payload = message.subarray(1);
    if (message[0] === channels.stdin) enqueue(payload.length, async () => await stream.writeStdin(payload));
    else if (message[0] === channels.resize) {
      const size = parseSize(payload);
      if (size !== undefined) enqueue(0, async () => await stream.resize(size));
    } else if (message[0] === channels.close && payload[0] === channels.stdin) {
      enqueue(0, async () => await stream.endStdin());
    }
  });
  const end = (): void => void stream.close();
  socket.on("close", end);
  socket.on("error", end);
  let status: object;
  try {
    for await (const chunk of stream.output()) {
      await sendOn(socket, chunk.stream === "stdout" ? channels.stdout : channels.stderr, chunk.data);
    }
    status = exitStatus((await stream.exit).exitCode);
  } catch (error) {
    status = failure(error instanceof Error ? error.message : String(error));
  }
  await tellEnd(socket, status);
}

/** Tells a client that its command could not be started, and why, as a shell would. */
export async function refuseExec(socket: WebSocket, exitCode: number, reason: string): Promise<void> {
  await sendOn(socket, channels.stderr, Buffer.from(`${reason}\n`));
  await tellEnd(socket, exitStatus(exitCode));
}

async function tellEnd(socket: WebSocket, status: object): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  await sendOn(socket, channels.error, Buffer.from(JSON.stringify(status)));
  socket.close(1000);
}

/** A Status as kubectl reads it: the exit code is a cause of a `NonZeroExitCode` failure. */
function exitStatus(exitCode: number): object {
  if (exitCode === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}

function failure(message: string, code = 500): object {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", reason: "InternalError", message, code };
}

function parseSize(payload: Uint8Array): { readonly columns: number; readonly rows: number } | undefined {
  try {
    const size: unknown = JSON.parse(Buffer.from(payload).toString("utf8"));
    if (typeof size !== "object" || size === null || !("Width" in size) || !("Height" in size)) return undefined;
    const [columns, rows] = [Number(size.Width), Number(size.Height)];
    const isSane = (value: number): boolean => Number.isInteger(value) && value > 0 && value < 65_536;
    return isSane(columns) && isSane(rows) ? { columns, rows } : undefined;
  } catch {
    return undefined;
  }
}

async function sendOn(socket: WebSocket, channel: number, payload: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.send(Buffer.concat([Buffer.from([channel]), payload]), { binary: true }, (error) =>
      error === undefined || error === null ? resolve() : reject(error),
    );
  });
}
