import { open, stat, utimes } from "node:fs/promises";
import { type Clock, describeError, type Logger, systemErrorCode } from "@isopod/base";

/** How much of a bill is in doubt at most when both a VM and the node agent end unseen. */
const beatMs = 5000;

/** The last moment at which a node agent lived and watched its VMs, µs; undefined before the first. */
export async function lastHeartbeat(path: string): Promise<number | undefined> {
  try {
    return Math.round((await stat(path)).mtimeMs * 1000);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Notes every five seconds, as a file's time, that the node agent lives: it hears of a VM's end at once, so a VM it has
 * not heard of was alive then. A file's time is set whole, or not at all, also on a full disk.
 */
export async function keepHeartbeat(path: string, clock: Clock, logger: Logger, signal: AbortSignal): Promise<void> {
  let isTold = false;
  while (!signal.aborted) {
    try {
      await (await open(path, "a", 0o600)).close();
      const seconds = clock.nowMs() / 1000;
      await utimes(path, seconds, seconds);
      isTold = false;
    } catch (error) {
      if (!isTold) logger.warn({ path, reason: describeError(error) }, "the node agent's heartbeat was not written");
      isTold = true;
    }
    await clock.sleep(beatMs, signal).catch(() => {});
  }
}
