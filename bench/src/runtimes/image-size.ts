import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { repositoryRoot } from "../installation.ts";
import { run } from "../program.ts";
import type { Measurements } from "./measurements.ts";
import type { RunPlan } from "./plan.ts";

export const imageTopic = "VM image";

/** With zstd -19, as ours come. */
const what = "kernel of its own, compressed";
const mebibyte = 1024 * 1024;
const compress = promisify(zstdCompress);

/** What must be on the host for an instance to have a kernel of its own. */
export async function measureImages(plan: RunPlan, measurements: Measurements): Promise<void> {
  for (const { name } of plan.contenders) {
    await measurements.attempt([imageTopic], name, plan.signal, async () => {
      if (name.startsWith("isopod")) {
        const dist = join(repositoryRoot, "packages/guest/dist");
        const kernel = (await stat(join(dist, "vmlinux.zst"))).size;
        const initramfs = (await stat(join(dist, "agent.cpio.zst"))).size;
        const note = "kernel and initramfs";
        measurements.add(imageTopic, what, name, "MiB", [(kernel + initramfs) / mebibyte], { note });
      } else if (name.includes("gVisor")) {
        // Its kernel is a program.
        const path = (await run("sh", ["-c", "command -v runsc"])).trim();
        const params = { [constants.ZSTD_c_compressionLevel]: 19 };
        const packed = await compress(await readFile(path), { params });
        measurements.add(imageTopic, what, name, "MiB", [packed.length / mebibyte], { note: "runsc" });
      }
    });
  }
}
