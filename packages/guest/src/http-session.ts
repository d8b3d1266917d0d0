import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";

/** HTTP/2 on a line whose handshake is done. */
export function openSession(socket: Socket): ClientHttp2Session {
  return connect("http://agent", {
    createConnection: () => socket,
    // The agent counts on this window when it decides which output the host must have: see agent/src/output.rs.
    settings: { enablePush: false, initialWindowSize: 65_535, maxHeaderListSize: 16 * 1024 },
    maxSessionMemory: 32,
  });
}
