import type { ServerResponse } from "node:http";
import { describeError, IsopodError } from "@isopod/base";

/** Aborted when the client goes away, or has everything. */
export function abortOnClose(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  return gone.signal;
}

/**
 * Answers with JSON lines while `work` goes on. The status is sent before the outcome is known, so a failure is a last
 * line `{error}`, with what the user is to do.
 */
export async function answerLines(
  response: ServerResponse,
  work: (write: (line: object) => void) => Promise<void>,
): Promise<void> {
  response.writeHead(200, { "content-type": "application/json-lines" });
  // Whoever asked is to know at once that the work has begun.
  response.flushHeaders();
  const write = (line: object): void => {
    response.write(`${JSON.stringify(line)}\n`);
  };
  try {
    await work(write);
  } catch (error) {
    const known = error instanceof IsopodError ? { code: error.code, stage: error.stage, remedy: error.remedy } : {};
    write({ error: { message: describeError(error), ...known } });
  }
  response.end();
}
