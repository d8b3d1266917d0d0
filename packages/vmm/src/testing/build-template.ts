/** Builds one template. For tests of what is left when that is killed in the middle. */
import { silentLogger } from "@isopod/base";
import { kernelCommandLine } from "@isopod/guest";
import { createScratchDisks } from "@isopod/volume";
import { createQemuVmm } from "../qemu/qemu-vmm.ts";
import { testShape } from "./fork-host.ts";

const [options = "", scratchDirectory = ""] = process.argv.slice(2);
const vmm = await createQemuVmm({
  ...JSON.parse(options),
  commandLine: kernelCommandLine,
  logger: silentLogger,
  accelerator: "tcg",
});
const scratch = createScratchDisks({ directory: scratchDirectory, logger: silentLogger });
await vmm.templates.build(
  testShape,
  async (path, userId) => await scratch.create(path, testShape.scratchBytes, userId),
);
