import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "@isopod/base";

/** Runs in a process of its own, with no descriptor left. */
const program = `
  import { openSync } from "node:fs";
  const { launch } = await import(process.argv[1]);
  const { Launchers } = await import(process.argv[2]);
  const plan = { program: "/x", arguments: [], environment: {}, userId: 1, binds: [], hasKvm: false,
    cgroups: [], stderrBytes: 1, outOfMemoryScore: 0, descriptors: [] };
  try { for (;;) openSync("/dev/null"); } catch {}
  const error = await launch(plan, { launchers: new Launchers("/bin/true", "/x"), id: "m", record: async () => {}, signal: undefined })
    .catch((error) => error);
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.exit(error.code === "LaunchFailed" && error.cause?.code === "EMFILE" ? 0 : 3);
`;

test("a host without a free descriptor fails a launch, not the service", async () => {
  const run = [
    "--input-type=module",
    "-e",
    program,
    new URL("launch.ts", import.meta.url).href,
    new URL("launchers.ts", import.meta.url).href,
  ];
  // Throws when the process ends with another code than 0, as one with an unhandled rejection does.
  const { stderr } = await runCommand("sh", ["-c", 'ulimit -n 64; exec "$@"', "sh", process.execPath, ...run]);
  assert.doesNotMatch(stderr, /Unhandled/);
});
