import type { ContainerSpec, ContainerStarted, ContainerState, ExecSpec, ExitStatus } from "../contract.ts";
import type { GuestClient } from "../guest-client.ts";
import { containerSpec } from "./container-spec.ts";

export interface Ran {
  readonly started: ContainerStarted;
  readonly state: ContainerState;
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Runs a container to its end, reads its output, removes it. */
export async function runContainer(
  client: GuestClient,
  args: readonly string[],
  changes: Partial<ContainerSpec> = {},
): Promise<Ran> {
  const spec = containerSpec(args, changes);
  const started = await client.startContainer(spec);
  let stdout = "";
  let stderr = "";
  for await (const chunk of client.output(spec.id, 0)) {
    if (chunk.stream === "stdout") stdout += chunk.data.toString();
    else stderr += chunk.data.toString();
  }
  const state = await client.waitContainer(spec.id);
  await client.removeContainer(spec.id);
  return { started, state, stdout, stderr, exitCode: state.exit?.exitCode ?? -1 };
}

/** A shell script in a container of its own. */
export async function runScript(
  client: GuestClient,
  script: string,
  changes: Partial<ContainerSpec> = {},
): Promise<Ran> {
  return await runContainer(client, ["sh", "-c", script], changes);
}

export function execSpec(args: readonly string[], changes: Partial<ExecSpec> = {}): ExecSpec {
  return {
    args,
    env: ["PATH=/bin"],
    workingDirectory: "/",
    user: "",
    isTerminal: false,
    hasStdin: false,
    ...changes,
  };
}

/** Runs a program in a running container to its end. */
export async function runExec(
  client: GuestClient,
  id: string,
  spec: ExecSpec,
): Promise<{ readonly output: string; readonly exit: ExitStatus }> {
  await using stream = await client.exec(id, spec);
  let output = "";
  for await (const chunk of stream.output()) output += chunk.data.toString();
  return { output, exit: await stream.exit };
}
