import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const launcherDirectory = fileURLToPath(new URL("../launcher/", import.meta.url));

/** SHA-256 of every file that decides what the launcher's build makes, by path inside `launcher/`. */
export function launcherInputs(): Readonly<Record<string, string>> {
  const sources = ["preload", "src"].flatMap((directory) =>
    readdirSync(join(launcherDirectory, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(launcherDirectory, join(entry.parentPath, entry.name))),
  );
  const paths = ["Cargo.lock", "Cargo.toml", "build", "build.rs", ...sources].toSorted();
  return Object.fromEntries(
    paths.map((path) => [
      path,
      createHash("sha256")
        .update(readFileSync(join(launcherDirectory, path)))
        .digest("hex"),
    ]),
  );
}
