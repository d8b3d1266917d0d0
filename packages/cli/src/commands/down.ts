import { systemClock } from "@isopod/base";
import { CliError } from "../cli-error.ts";
import { dataDirectoryOf, type GlobalOptions } from "../context.ts";
import { note } from "../output.ts";
import { runningService } from "./up.ts";

/** `isopod down`: ends the service of this data directory; instances go on. */
export async function down(options: GlobalOptions): Promise<number> {
  const { servicePaths } = await import("@isopod/service");
  const paths = servicePaths(dataDirectoryOf(options));
  const running = await runningService(paths.ready);
  if (running === undefined) {
    note(`no service runs on ${dataDirectoryOf(options)}`);
    return 0;
  }
  process.kill(running.pid, "SIGTERM");
  for (let waited = 0; waited < 300; waited++) {
    if (!isAlive(running.pid)) {
      note("isopod is down; instances go on, and the next `isopod up` takes them up again");
      return 0;
    }
    await systemClock.sleep(100);
  }
  throw new CliError(`the service (process ${running.pid}) did not stop within 30 s`, {
    code: "Refused",
    remedy: `See ${paths.log}. \`kill -9 ${running.pid}\` is safe: instances and their bill survive it.`,
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
