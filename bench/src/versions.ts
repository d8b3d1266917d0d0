import { resources } from "@isopod/api";
import type { Docker } from "./docker.ts";
import type { Installation } from "./installation.ts";
import { run } from "./program.ts";

/** What was compared, in words for the head of a table. */
export async function versions(installation: Installation, docker: Docker | undefined): Promise<readonly string[]> {
  const node = (await installation.client.list(resources.nodes)).items[0];
  const qemu = (await run("qemu-system-x86_64", ["--version"])).split("\n")[0] ?? "";
  return [
    node?.status?.nodeInfo?.containerRuntimeVersion ?? "",
    qemu,
    docker === undefined ? "no Docker" : `Docker ${docker.version} overlay2`,
  ];
}
