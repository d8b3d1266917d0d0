import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { VmmError } from "../../errors.ts";
import { streamsOf } from "../child-streams.ts";

/**
 * Loads packed memory into a sealed file in memory: nobody, a fork that was broken out of included, can write to it,
 * punch holes into it or change its size. It lives as long as this handle or a machine has it.
 */
export async function loadMemory(launcherPath: string, packedPath: string, sizeBytes: number): Promise<FileHandle> {
  const child = spawn(launcherPath, ["load", packedPath, String(sizeBytes)], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close");
  ended.catch(() => {});
  if (streamsOf(child) === undefined)
    throw await ended.then(
      () => loadFailure(packedPath, ""),
      (cause: unknown) => cause,
    );
  const complaint = text(child.stderr);
  child.stdin.on("error", () => {});
  try {
    let answer = "";
    for await (const chunk of child.stdout) {
      answer += String(chunk);
      if (answer.endsWith("\n")) break;
    }
    if (!/^\d+\n$/.test(answer)) throw loadFailure(packedPath, (await complaint).trim());
    return await open(`/proc/${child.pid}/fd/${answer.trim()}`, "r");
  } finally {
    child.stdin.end();
    await ended;
  }
}

function loadFailure(path: string, said: string): VmmError {
  return new VmmError(
    `the memory of a template cannot be loaded: ${said === "" ? "the launcher said nothing" : said}`,
    {
      code: "TemplateFailed",
      stage: "template",
      object: path,
      remedy: "The template is made again by itself; if that fails alike, the host is short of memory.",
    },
  );
}
