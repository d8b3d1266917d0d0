import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { repositoryRoot } from "../installation.ts";
import { run } from "../program.ts";
import type { Measurements } from "./measurements.ts";
import type { RunPlan } from "./plan.ts";

export const imageTopic = "VM image";

const mebibyte = 1024 * 1024;
const compress = promisify(zstdCompress);

/** What must be on the host for an instance to have a kernel of its own. */
export async function measureImages(plan: RunPlan, measurements: Measurements): Promise<void> {
  for (const { name } of plan.contenders) {
    await measurements.attempt(imageTopic, name, plan.signal, async () => {
      if (name.startsWith("isopod")) {
        const dist = join(repositoryRoot, "packages/guest/dist");
        const kernel = (await stat(join(dist, "vmlinux.zst"))).size;
        const initramfs = (await stat(join(dist, "agent.cpio.zst"))).size;
        const what = "kernel and initramfs, compressed";
        measurements.add(imageTopic, what, name, "MiB", [(kernel + initramfs) / mebibyte]);
      } else if (name.includes("gVisor")) {
        // Its kernel is a program.
        const path = (await run("sh", ["-c", "command -v runsc"])).trim();
        const params = { [constants.ZSTD_c_compressionLevel]: 19 };
        const packed = await compress(await readFile(path), { params });
        measurements.add(imageTopic, "runsc, zstd -19", name, "MiB", [packed.length / mebibyte]);
      }
    });
  }
}
