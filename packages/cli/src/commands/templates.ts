import { humanBytes } from "@isopod/api";
import { type GlobalOptions, openContext } from "../context.ts";
import { followLines, type NodeOptions, nodeOf, nodePath } from "../node-proxy.ts";
import { formatTable, print, printJson } from "../output.ts";

export interface TemplateOptions extends GlobalOptions, NodeOptions {}

interface Template {
  readonly id: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly scratchBytes: number;
  readonly sizeBytes: number;
  readonly builtMicros: number;
  readonly isLoaded: boolean;
  readonly hasZygote: boolean;
}

interface Templates {
  readonly templates: readonly Template[];
}

/** `isopod template ls`: the booted machines that instances are forked from. */
export async function templates(options: TemplateOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const answer = (await client.transport.json("GET", nodePath(node, "/templates"))) as Templates;
  if (isJson) printJson(answer.templates);
  else print(formatTemplates(answer.templates));
  return 0;
}

export function formatTemplates(found: readonly Template[]): string {
  const rows = found.map((one) => [
    one.id,
    String(one.vcpus),
    `${one.memoryMiB}Mi`,
    humanBytes(one.scratchBytes),
    humanBytes(one.sizeBytes),
    new Date(one.builtMicros / 1000).toISOString().slice(0, 19).replace("T", " "),
    one.isLoaded ? "yes" : "no",
    one.hasZygote ? "yes" : "no",
  ]);
  return formatTable(["ID", "VCPU", "MEMORY", "DISK", "SIZE", "BUILT", "LOADED", "ZYGOTE"], rows);
}

/** `isopod template build [SIZE…]`: makes them before the first instance of a size asks for one. */
export async function templateBuild(sizes: readonly string[], options: TemplateOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const answer = await client.send("POST", nodePath(node, "/templates/build"), {
    query: { size: sizes },
    timeoutMs: 0,
  });
  const object = sizes.length === 0 ? "templates" : sizes.join(" ");
  const built = await followLines<Progress, Templates>(answer.body, object, describeProgress);
  if (isJson) printJson(built.templates);
  else print(formatTemplates(built.templates));
  return 0;
}

interface Progress {
  readonly stage?: unknown;
  readonly size?: unknown;
}

/** What the node agent says it does is shown as it is; it may be a newer one than this program. */
function describeProgress(progress: Progress): readonly [string, string] {
  const { stage, size } = progress;
  if (typeof stage !== "string") return [JSON.stringify(progress), ""];
  return [typeof size === "string" ? `${size} ${stage}` : stage, ""];
}

/** `isopod template rm ID…`: instances that were forked from them run on. */
export async function templateRemove(ids: readonly string[], options: TemplateOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  for (const id of ids) {
    await client.transport.json("DELETE", nodePath(node, "/templates"), { query: { id } });
    if (!isJson) print(id);
  }
  if (isJson) printJson({ removed: ids });
  return 0;
}
