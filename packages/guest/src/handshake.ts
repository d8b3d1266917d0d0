import { randomBytes } from "node:crypto";

/**
 * The greeting that begins a session on a line without connections: see `agent/src/handshake.rs` for why each part
 * is there. The host repeats its HELLO, each time with a fresh nonce, because bytes sent before the guest opened its
 * port vanish; some of them follow {@link filler}, because an agent that is still inside a dead host's session takes
 * them for part of it.
 */
const hello = "\nISOPOD/1 HELLO ";
const ready = "\nISOPOD/1 READY ";
const nonceLength = 32;
const readyLength = ready.length + nonceLength + 1;

/** Longer than any HTTP/2 frame the agent accepts (16 KiB and 9); as a frame header it is a connection error. */
export const filler: Buffer = Buffer.alloc(17 * 1024, 0xff);

/** How often HELLO is repeated: delays in milliseconds grow to the last one. */
export const repeatDelaysMs = Object.freeze([50, 75, 110, 170, 250, 400, 600, 1000]);

/** True for the attempts that carry the filler: not the first two, which a healthy agent answers. */
export function carriesFiller(attempt: number): boolean {
  return attempt % 4 === 2;
}

/** What is sent and what is awaited. Everything the line brings before the last READY is thrown away. */
export class Greeting {
  readonly #sent = new Set<string>();
  #last = "";
  #pending: Buffer = Buffer.alloc(0);
  #isHeard = false;

  /** The bytes of the next HELLO. */
  next(attempt: number, nonce = randomBytes(nonceLength / 2).toString("hex")): Buffer {
    this.#sent.add(nonce);
    this.#last = nonce;
    const line = Buffer.from(`${hello}${nonce}\n`);
    return carriesFiller(attempt) ? Buffer.concat([filler, line]) : line;
  }

  /** True when a READY of ours has come: the port is open, and the READY of the last HELLO is on its way. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  /** Takes what the line brings; the bytes behind the READY of the last HELLO when it has come, else undefined. */
  push(data: Buffer): Buffer | undefined {
    const seen = Buffer.concat([this.#pending, data]);
    let from = 0;
    for (;;) {
      const at = seen.indexOf(ready, from);
      if (at < 0 || at + readyLength > seen.length) break;
      const nonce = seen.toString("latin1", at + ready.length, at + readyLength - 1);
      from = at + 1;
      if (seen[at + readyLength - 1] !== 0x0a || !this.#sent.has(nonce)) continue;
      this.#isHeard = true;
      if (nonce === this.#last) return seen.subarray(at + readyLength);
    }
    // Copied, so that a small rest does not keep a large read alive.
    this.#pending = Buffer.from(seen.subarray(Math.max(from, seen.length - readyLength + 1)));
    return undefined;
  }
}
