/**
 * A host network in a process of its own, so that its host can be a namespace and so that it can be killed.
 * Arguments: installation, and after how many calls of a program the process kills itself half-way through the next
 * (-1: never). One JSON request a line, one JSON answer a line.
 */
import { createInterface } from "node:readline";
import { silentLogger } from "@isopod/base";
import { createHostNetwork, type InterfaceSpec, NetworkError, type TapSpec } from "../index.ts";
import { CommandShells, type RunCommand } from "../linux/command-shells.ts";

export type HostRequest =
  | { readonly method: "prepare"; readonly spec: TapSpec }
  | { readonly method: "attach"; readonly spec: InterfaceSpec }
  | { readonly method: "detach"; readonly id: string }
  | { readonly method: "list" };

const [installation = "", callsLeft = "-1"] = process.argv.slice(2);
let remaining = Number(callsLeft);
let spawned = 0;

const shells = new CommandShells();
const run: RunCommand = async (program, args, options) => {
  spawned += 1;
  if (remaining === 0) {
    // Half the lines of a batch, then death: what a real kill leaves behind at the worst moment.
    const lines = String(options?.input ?? "").split("\n");
    const half = `${lines.slice(0, Math.ceil(lines.length / 2)).join("\n")}\n`;
    if (args.includes("-batch") || args.includes("sh")) await shells.run(program, args, { input: half });
    process.kill(process.pid, "SIGKILL");
  }
  remaining -= 1;
  return await shells.run(program, args, options);
};

const network = await createHostNetwork({ installation, logger: silentLogger, run });

async function answer(request: HostRequest): Promise<unknown> {
  if (request.method === "prepare") return await network.prepare(request.spec);
  if (request.method === "attach") {
    const attached = await network.attach(request.spec);
    await attached.opened;
    return attached;
  }
  if (request.method === "detach") return await network.detach(request.id);
  return await network.list();
}

async function serve(line: string): Promise<void> {
  const { number, request }: { number: number; request: HostRequest } = JSON.parse(line);
  const before = spawned;
  const reply = await answer(request).then(
    (value) => ({ value: value ?? null }),
    (error: unknown) => ({
      error: String(error),
      ...(error instanceof NetworkError ? { code: error.code, remedy: error.remedy } : {}),
    }),
  );
  process.stdout.write(`${JSON.stringify({ number, ...reply, spawned: spawned - before })}\n`);
}

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) void serve(line);
