/** Prints the manifest of a build: digests of what went in and of what came out. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { launcherInputs } from "../src/launcher-inputs.ts";

const [binaryPath = "", compressedPath = "", compiler = ""] = process.argv.slice(2);
const describe = (path: string) => ({
  sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
  sizeBytes: statSync(path).size,
});
const manifest = {
  inputs: launcherInputs(),
  compiler,
  outputs: { "isopod-launcher": describe(binaryPath), "isopod-launcher.zst": describe(compressedPath) },
};
process.stdout.write(`${JSON.stringify(manifest, undefined, 2)}\n`);
