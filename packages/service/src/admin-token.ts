import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { systemErrorCode, writeFileAtomically } from "@isopod/base";

/** The administrator's bearer token: made once, readable by its owner only. */
export async function ensureAdminToken(path: string): Promise<string> {
  try {
    const token = (await readFile(path, "utf8")).trim();
    if (token.length >= 32) return token;
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
  const token = randomBytes(32).toString("base64url");
  await writeFileAtomically(path, `${token}\n`, 0o600);
  return token;
}
