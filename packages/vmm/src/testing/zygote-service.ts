/**
 * Has a zygote of the template there is and a clone of it, says their process numbers, and begins another clone when it
 * is told to. For tests of what is left when that is killed.
 */
import { once } from "node:events";
import { silentLogger } from "@isopod/base";
import { kernelCommandLine } from "@isopod/guest";
import { createScratchDisks } from "@isopod/volume";
import { createQemuVmm } from "../qemu/qemu-vmm.ts";
import { testShape } from "./fork-host.ts";
import { parentOf } from "./process-look.ts";

const [options = "", scratchDirectory = "", specs = ""] = process.argv.slice(2);
const vmm = await createQemuVmm({
  ...JSON.parse(options),
  commandLine: kernelCommandLine,
  logger: silentLogger,
  accelerator: "tcg",
});
const scratch = createScratchDisks({ directory: scratchDirectory, logger: silentLogger });
const template = await vmm.templates.find(testShape);
if (template === undefined) throw new Error("there is no template");
await vmm.templates.keepZygote(
  template,
  async (path, userId) => await scratch.create(path, testShape.scratchBytes, userId),
);
const [first, second] = JSON.parse(specs);
const machine = await vmm.fork(first, template);
process.stdout.write(`${await parentOf(machine.pid)} ${machine.pid}\n`);
await once(process.stdin, "data");
await vmm.fork(second, template);
