import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, systemErrorCode } from "@isopod/base";
import { scratchError } from "./volume-error.ts";

/** Changes whenever the options below do: templates of another layout are not mistaken for this one. */
const layoutVersion = 1;

/** The file system's id is the layout's: equal sizes give equal bytes, on every host and at every time. */
const fileSystemId = "15090d00-0000-4000-8000-000000000001";

/**
 * Reasons, in order: 4 KiB blocks whatever the size (mkfs takes 1 KiB below 512 MiB); an inode per 16 KiB, its
 * default; nothing kept back for root, so that what was sold can be used; no journal and no checksums, since the disk
 * dies with its VM and never outlives a crash; no room to grow. The inode tables are holes of a sparse file: told so,
 * mkfs marks them as zeroed, or the guest's kernel would write all of them (329 MiB at 20 GiB) after its first mount.
 */
const mkfsArguments: readonly string[] = [
  "-q -F -b 4096 -i 16384 -I 256 -m 0",
  `-O ^has_journal,^metadata_csum,uninit_bg,^resize_inode -U ${fileSystemId}`,
  `-E nodiscard,assume_storage_prezeroed=1,hash_seed=${fileSystemId},root_owner=0:0`,
].flatMap((line) => line.split(" "));

/**
 * The path of the raw ext4 template of that size in `directory`, made there if it is not yet: under a temporary name,
 * synced, renamed. Throws `VolumeError`.
 */
export async function ext4Template(directory: string, sizeBytes: number): Promise<string> {
  const name = `ext4-v${layoutVersion}-${sizeBytes}.raw`;
  const path = join(directory, name);
  try {
    if ((await sizeOf(path)) === sizeBytes) return path;
    await mkdir(directory, { recursive: true });
    await removeAbandoned(directory, name);
    await make(path, join(directory, `${name}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`), sizeBytes);
  } catch (error) {
    throw scratchError("formatting a scratch disk's template", path, error);
  }
  return path;
}

async function make(path: string, temporaryPath: string, sizeBytes: number): Promise<void> {
  try {
    {
      await using file = await open(temporaryPath, "wx", 0o444);
      await file.truncate(sizeBytes);
    }
    // The fixed time is one of two things that would make two templates differ; mkfs 1.47 takes it from here.
    await runCommand("mkfs.ext4", [...mkfsArguments, temporaryPath], { env: { E2FSPROGS_FAKE_TIME: "1" } });
    {
      await using file = await open(temporaryPath, "r");
      await file.sync();
    }
    await rename(temporaryPath, path);
  } catch (error) {
    await rm(temporaryPath, { force: true });
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Temporary files of processes that died over them. */
async function removeAbandoned(directory: string, name: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith(".tmp")) continue;
    const pid = Number.parseInt(entry.slice(name.length + 1), 10);
    if (!isAlive(pid)) await rm(join(directory, entry), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemErrorCode(error) !== "ESRCH";
  }
}
