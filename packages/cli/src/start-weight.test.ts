import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";

/** Prints the URL of every module that is loaded, one a line. */
const tellModules = `import { registerHooks } from "node:module";
import { writeSync } from "node:fs";
registerHooks({ load(url, context, next) { writeSync(1, url + "\\n"); return next(url, context); } });`;

/** What packages a command may load before its first request; each is milliseconds of every command. */
const allowedPackages: ReadonlySet<string> = new Set(["commander"]);

/** What only an API server needs of the package api. */
const serverSide =
  /\/api\/src\/(codec\/(?!media-types)|patch\/(?!media-types|merge-patch)|openapi\/open-api-v3|validation|defaulting\/(?!index)|generated|schema\/schemas)/;

/** Every module that is loaded until the command gives up for want of an installation, just before its first request. */
async function modulesOf(...args: readonly string[]): Promise<readonly string[]> {
  await using directory = await temporaryDirectory();
  const program = join(import.meta.dirname, "main.ts");
  const preload = `data:text/javascript,${encodeURIComponent(tellModules)}`;
  const child = spawn(process.execPath, ["--import", preload, program, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { PATH: process.env["PATH"], ISOPOD_DATA_DIR: directory.path },
  });
  const [output] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return output.split("\n").filter((line) => line.startsWith("file:"));
}

const commands: readonly (readonly string[])[] = [
  ["ps"],
  ["run", "--rm", "busybox", "true"],
  ["exec", "web", "true"],
  ["logs", "web"],
];

for (const args of commands) {
  test(`isopod ${args[0]} loads its own command, and of packages only what it may, before its first request`, async () => {
    const modules = await modulesOf(...args);
    const ownCommands = modules.filter((url) => url.includes("/cli/src/commands/"));
    const file = args[0] === "exec" ? "logs" : args[0];
    assert.deepEqual(
      ownCommands.map((url) => url.slice(url.lastIndexOf("/") + 1)),
      [`${file}.ts`],
    );
    const packages = modules.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
    assert.deepEqual(
      [...new Set(packages)].filter((name) => !allowedPackages.has(name)),
      [],
    );
    assert.deepEqual(
      modules.filter((url) => serverSide.test(url)),
      [],
    );
    assert.deepEqual(
      modules.filter((url) => url.includes("/service/src/")),
      [],
    );
  });
}
