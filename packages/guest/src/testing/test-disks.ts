import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "@isopod/base";

/** A small root file system of busybox with a few users and odd files. */
const busybox = "/bin/busybox";

const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n";
const group = "root:x:0:\nwww:x:34:\nlogs:x:50:web\n";

/** Makes an EROFS disk with busybox at `path`; `workDirectory` holds the tree meanwhile. */
export async function makeBusyboxDisk(path: string, workDirectory: string, text = "from the image\n"): Promise<void> {
  const root = join(workDirectory, "tree");
  for (const name of ["bin", "etc", "srv", "tmp", "root", "var/data"])
    await mkdir(join(root, name), { recursive: true });
  await copyFile(busybox, join(root, "bin/busybox"));
  const { stdout } = await runCommand(busybox, ["--list"]);
  for (const name of stdout.split("\n").filter((line) => line !== "" && line !== "busybox")) {
    await symlink("busybox", join(root, "bin", name));
  }
  await writeFile(join(root, "etc/passwd"), passwd);
  await writeFile(join(root, "etc/group"), group);
  await writeFile(join(root, "etc/image"), text);
  await writeFile(join(root, "bin/not-executable"), "text\n", { mode: 0o644 });
  await writeFile(join(root, "bin/bad-format"), "\u0001\u0002\u0003\u0004", { mode: 0o755 });
  // Absolute and out of the tree: must lead into the container's own root.
  await symlink("/srv/elsewhere", join(root, "etc/resolv.conf"));
  await chmod(join(root, "tmp"), 0o1777);
  await runCommand("mkfs.erofs", ["--quiet", "-T0", path, root]).catch(
    async () => await runCommand("mkfs.erofs", ["-T0", path, root]),
  );
}

/** Makes an empty ext4 disk at `path`. */
export async function makeScratchDisk(path: string, sizeMiB: number): Promise<void> {
  await runCommand("mkfs.ext4", ["-q", "-O", "^has_journal", "-m", "0", path, `${sizeMiB}M`]);
}
