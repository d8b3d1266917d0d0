import { access, constants, realpath } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, runCommand } from "@isopod/base";
import { VmmError } from "../errors.ts";

export interface QemuProgram {
  /** Without symbolic links, and under /usr, which is what the jail shows. */
  readonly path: string;
  /** As in `QEMU 7.2.22`. */
  readonly version: string;
}

const programName = "qemu-system-x86_64";

/** Finds QEMU. Throws `VmmError` `MissingProgram`, which names the Debian package. */
export async function findQemu(searchPath = process.env["PATH"] ?? ""): Promise<QemuProgram> {
  const directories = [...searchPath.split(":").filter((one) => one.startsWith("/")), "/usr/bin", "/usr/local/bin"];
  for (const directory of directories) {
    const candidate = join(directory, programName);
    if (!(await isExecutable(candidate))) continue;
    const path = await realpath(candidate);
    if (!path.startsWith("/usr/")) continue;
    return { path, version: await readVersion(path) };
  }
  throw new VmmError(`the program ${programName} is missing`, {
    code: "MissingProgram",
    stage: "boot",
    object: programName,
    remedy: "Install it under /usr, on Debian with: apt-get install qemu-system-x86",
  });
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function readVersion(path: string): Promise<string> {
  try {
    const { stdout } = await runCommand(path, ["--version"], { maxOutputBytes: 64 * 1024 });
    const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1];
    if (version !== undefined) return `QEMU ${version}`;
    throw new VmmError(`${path} --version does not tell a version`, brokenProgram(path));
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    throw new VmmError(`${path} cannot be run`, { ...brokenProgram(path), cause });
  }
}

function brokenProgram(path: string) {
  const remedy = "Install QEMU again, on Debian with: apt-get install --reinstall qemu-system-x86";
  return { code: "MissingProgram", stage: "boot", object: path, remedy } as const;
}
