/**
 * The wire form of QMP, QEMU's control protocol: one JSON object a line, in both directions.
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 */

/** The longest line accepted: a 64 KiB console ring in base64 fits well, a monitor gone mad does not. */
export const maxLineBytes = 1024 * 1024;

export type QmpMessage =
  | { readonly type: "greeting" }
  | { readonly type: "return"; readonly id: number; readonly value: unknown }
  | {
      readonly type: "error";
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly type: "event"; readonly name: string; readonly data: Readonly<Record<string, unknown>> };

/** One command as a line. */
export function encodeCommand(id: number, command: string, args: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ execute: command, arguments: args, id })}\n`;
}

/** Reads one line. Throws `SyntaxError` on anything that is not a QMP message. */
export function parseMessage(line: string): QmpMessage {
  const message: unknown = JSON.parse(line);
  if (!isRecord(message)) throw new SyntaxError("a QMP message is a JSON object");
  if (isRecord(message["QMP"])) return { type: "greeting" };
  if (typeof message["event"] === "string") {
    const data = message["data"];
    return { type: "event", name: message["event"], data: isRecord(data) ? data : {} };
  }
  const id = message["id"];
  const error = message["error"];
  if (isRecord(error)) {
    return {
      type: "error",
      id: typeof id === "number" ? id : undefined,
      errorClass: String(error["class"]),
      description: String(error["desc"]),
    };
  }
  if ("return" in message && typeof id === "number") return { type: "return", id, value: message["return"] };
  throw new SyntaxError("a QMP message is a greeting, an answer with an id, or an event");
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Cuts a byte stream into lines, without their ends, and holds what is not yet complete. */
export class LineSplitter {
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** The lines that `chunk` completes. Throws `RangeError` when one is longer than {@link maxLineBytes}. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      this.#hold(chunk.subarray(from, end));
      const line = Buffer.concat(this.#held).toString().trim();
      this.#held = [];
      this.#heldBytes = 0;
      if (line !== "") lines.push(line);
      from = end + 1;
    }
    this.#hold(chunk.subarray(from));
    return lines;
  }

  #hold(piece: Buffer): void {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > maxLineBytes) throw new RangeError(`a line is longer than ${maxLineBytes} bytes`);
    this.#held.push(piece);
  }
}
