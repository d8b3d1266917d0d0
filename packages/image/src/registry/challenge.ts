/** What a registry asks for in `WWW-Authenticate`. */
export type Challenge =
  | { readonly scheme: "basic" }
  | { readonly scheme: "bearer"; readonly realm: string; readonly service: string | undefined };

/** Bearer is preferred when both are offered; undefined when neither is. Parameters may come in any order. */
export function parseChallenge(header: string): Challenge | undefined {
  // Longer headers are an attack on the pattern, not a challenge.
  const text = header.slice(0, 8192);
  const bearer = /(?:^|[\s,])bearer\s+(.*)$/i.exec(text);
  if (bearer !== null) {
    const parameters = new Map<string, string>();
    for (const [, key, value] of (bearer[1] ?? "").matchAll(/([a-z_]+)="([^"]*)"/gi)) {
      if (key !== undefined && value !== undefined) parameters.set(key.toLowerCase(), value);
    }
    const realm = parameters.get("realm");
    if (realm !== undefined) return { scheme: "bearer", realm, service: parameters.get("service") };
  }
  return /(?:^|[\s,])basic(?:\s|$)/i.test(text) ? { scheme: "basic" } : undefined;
}
