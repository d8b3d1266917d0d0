import type { WriteFailed } from "./wire.ts";

// https://www.sqlite.org/rescode.html: primary codes are the low byte, extended ones say more above it.
const sqliteFull = 13;
const sqliteIoError = 10;
const sqliteIoErrorWrite = 778;

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : undefined;
}

/** The one place where errors of SQLite become ours. */
export function failureOf(error: unknown, path: string): WriteFailed {
  const code = sqliteCode(error);
  const text = error instanceof Error ? error.message : String(error);
  // SQLite tells ENOSPC as FULL when it sees it in write(2); a short write to the WAL comes out as IOERR_WRITE.
  if (code === sqliteFull || code === sqliteIoErrorWrite) {
    return { code: "NoSpace", message: `no space left to write the store ${path}: ${text}` };
  }
  const what = code !== undefined && (code & 0xff) === sqliteIoError ? "input/output error on" : "cannot use";
  return { code: "Failed", message: `${what} the store ${path}: ${text}` };
}
