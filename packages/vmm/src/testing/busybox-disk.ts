import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "@isopod/base";

const busybox = "/usr/bin/busybox";

/** Makes an EROFS disk at `path` with every program of busybox; `workDirectory` holds the tree meanwhile. */
export async function makeBusyboxDisk(path: string, workDirectory: string): Promise<void> {
  const root = join(workDirectory, "tree");
  for (const name of ["bin", "etc", "root", "tmp"]) await mkdir(join(root, name), { recursive: true });
  await copyFile(busybox, join(root, "bin/busybox"));
  const { stdout } = await runCommand(busybox, ["--list"]);
  for (const name of stdout.split("\n").filter((line) => line !== "" && line !== "busybox")) {
    await symlink("busybox", join(root, "bin", name));
  }
  await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\n");
  await runCommand("mkfs.erofs", ["-T0", path, root]);
}
