import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { unauthorized } from "@isopod/api";
import type { TokenCredential, User } from "../contract.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest();

/** Finds out who sends a request: by bearer token, else by client certificate. */
export class Authenticator {
  readonly #tokens: readonly { readonly digest: Buffer; readonly user: User }[];

  constructor(tokens: readonly TokenCredential[]) {
    this.#tokens = tokens.map(({ token, user, groups }) => ({
      digest: sha256(token),
      user: { name: user, groups: [...groups, "system:authenticated"] },
    }));
  }

  /** Throws Unauthorized for everybody unknown: nobody is anonymous here. */
  authenticate(request: IncomingMessage): User {
    const authorization = request.headers.authorization;
    if (authorization !== undefined) {
      const user = this.#byToken(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "");
      if (user !== undefined) return user;
      throw unauthorized();
    }
    const user = byCertificate(request);
    if (user === undefined) throw unauthorized();
    return user;
  }

  /** Compares digests and always all of them, so that the time taken tells nothing about a token. */
  #byToken(token: string): User | undefined {
    const digest = sha256(token);
    let found: User | undefined;
    for (const candidate of this.#tokens) {
      if (timingSafeEqual(candidate.digest, digest)) found = candidate.user;
    }
    return found;
  }
}

/** What each connection's certificate says does not change while the connection lasts. */
const usersByConnection = new WeakMap<TLSSocket, User>();

/** CN is the user, each O a group; only certificates that chain to the client authority get here as authorized. */
function byCertificate(request: IncomingMessage): User | undefined {
  const { socket } = request;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = usersByConnection.get(socket);
  if (known !== undefined) return known;
  const subject = socket.getPeerCertificate().subject;
  const name = first(subject?.CN);
  if (name === undefined || name === "") return undefined;
  const organizations: string | readonly string[] | undefined = subject?.O;
  const groups = organizations === undefined ? [] : typeof organizations === "string" ? [organizations] : organizations;
  const user: User = { name, groups: [...groups, "system:authenticated"] };
  usersByConnection.set(socket, user);
  return user;
}

/** Several common names make an array, whatever the type says. */
function first(name: string | readonly string[] | undefined): string | undefined {
  return typeof name === "string" || name === undefined ? name : name[0];
}
