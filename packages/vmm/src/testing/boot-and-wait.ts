/** Boots one machine, prints its process number, and waits to be killed. For tests of what such a kill leaves. */
import { silentLogger } from "@isopod/base";
import { createQemuVmm } from "../qemu/qemu-vmm.ts";

const [options = "", spec = ""] = process.argv.slice(2);
const vmm = await createQemuVmm({ ...JSON.parse(options), logger: silentLogger, accelerator: "tcg" });
const machine = await vmm.boot(JSON.parse(spec));
process.stdout.write(`${machine.pid}\n`);
setInterval(() => {}, 60_000);
