import { catalogue, formatSizeWord, guestOverheadMiB, type InstanceSize, vcpusFor } from "@isopod/api";
import { describeError, isAbort, type Logger } from "@isopod/base";
import type { MakeScratch, Template, TemplateShape, Vmm } from "@isopod/vmm";
import type { ScratchDisks } from "@isopod/volume";
import type { NodeTemplates, TemplateView } from "./node-templates.ts";
import { defaultScratchBytes } from "./scratch-size.ts";
import { Zygotes } from "./zygotes.ts";

export interface VmmTemplatesOptions {
  readonly vmm: Vmm;
  readonly scratch: ScratchDisks;
  readonly logger: Logger;
  /** The largest size that is sold here. */
  readonly largest: InstanceSize;
}

/** More are not kept: the ones that were not used for the longest time go. Each takes some 40 MiB of disk and memory. */
const templatesMax = 32;

/**
 * Memory of an instance's guest. Sizes share templates: it is that of the next power of two, which costs nothing, as
 * pages that are never touched do not exist; what was sold is enforced by the pod's cgroup in the guest.
 */
export function guestMemoryMiB(size: InstanceSize): number {
  const memoryMiB = 2 ** Math.ceil(Math.log2(size.memoryMiB));
  return memoryMiB + guestOverheadMiB({ ...size, memoryMiB });
}

/** The templates of one node, made when an instance first wants one, or ahead of time. */
export class VmmTemplates implements NodeTemplates {
  readonly #options: VmmTemplatesOptions;
  readonly #stopped = new AbortController();
  readonly #usedAt = new Map<string, number>();
  readonly #making = new Map<string, Promise<unknown>>();
  readonly #zygotes: Zygotes;
  #uses = 0;

  constructor(options: VmmTemplatesOptions) {
    this.#options = options;
    this.#zygotes = new Zygotes({
      templates: options.vmm.templates,
      logger: options.logger,
      makeScratch: (shape, signal) => this.#makeScratch(shape, signal),
      used: async () => (await this.#byUse()).filter((one) => this.#usedAt.has(one.id)),
    });
  }

  /** The template for an instance. Undefined when there is none yet: it is made beside, and the instance boots cold. */
  async forStart(size: InstanceSize, scratchBytes: number): Promise<Template | undefined> {
    const shape = shapeOf(size, scratchBytes);
    const template = await this.#options.vmm.templates.find(shape);
    if (template === undefined) this.#makeSoon(shape);
    else this.#noteUse(template);
    return template;
  }

  async list(): Promise<readonly TemplateView[]> {
    return (await this.#options.vmm.templates.list()).map(viewOf);
  }

  async build(
    sizes: readonly InstanceSize[],
    onProgress: (line: object) => void,
    signal: AbortSignal,
  ): Promise<readonly TemplateView[]> {
    const { largest } = this.#options;
    const fitting = catalogue.filter(
      (size) => size.cpuMilli <= largest.cpuMilli && size.memoryMiB <= largest.memoryMiB,
    );
    const built = new Map<string, Template>();
    for (const size of sizes.length === 0 ? fitting : sizes) {
      onProgress({ stage: "build", size: formatSizeWord(size) });
      const template = await this.#make(shapeOf(size, defaultScratchBytes), signal);
      built.set(template.id, template);
    }
    await this.#zygotes.keep();
    return [...built.values()].map(viewOf);
  }

  async remove(id: string): Promise<void> {
    await this.#options.vmm.templates.remove(id);
  }

  /** Ends what is being made. */
  async close(): Promise<void> {
    this.#stopped.abort(new Error("the node agent stops"));
    await Promise.allSettled(this.#making.values());
    await this.#zygotes.close();
  }

  #makeSoon(shape: TemplateShape): void {
    const key = JSON.stringify(shape);
    if (this.#making.has(key)) return;
    const { logger } = this.#options;
    const making = this.#make(shape, this.#stopped.signal)
      .catch((error: unknown) => {
        if (isAbort(error) || this.#stopped.signal.aborted) return;
        logger.warn({ ...shape, reason: describeError(error) }, "a template could not be made; instances boot cold");
      })
      .finally(() => this.#making.delete(key));
    this.#making.set(key, making);
  }

  async #make(shape: TemplateShape, signal: AbortSignal): Promise<Template> {
    const until = AbortSignal.any([signal, this.#stopped.signal]);
    const template = await this.#options.vmm.templates.build(shape, this.#makeScratch(shape, until), until);
    this.#noteUse(template);
    await this.#removeLeastUsed();
    return template;
  }

  #makeScratch({ scratchBytes }: TemplateShape, signal: AbortSignal): MakeScratch {
    const { scratch } = this.#options;
    return async (path, userId) => await scratch.create(path, scratchBytes, userId, signal);
  }

  #noteUse(template: Template): void {
    this.#usedAt.set(template.id, ++this.#uses);
    this.#zygotes.keepSoon();
  }

  /** The one used last first. */
  async #byUse(): Promise<readonly Template[]> {
    const usedAt = (one: Template): number => this.#usedAt.get(one.id) ?? 0;
    return (await this.#options.vmm.templates.list()).toSorted((a, b) => usedAt(b) - usedAt(a));
  }

  async #removeLeastUsed(): Promise<void> {
    const surplus = (await this.#byUse()).slice(templatesMax);
    for (const { id } of surplus) await this.#options.vmm.templates.remove(id).catch(() => {});
  }
}

function shapeOf(size: InstanceSize, scratchBytes: number): TemplateShape {
  return { vcpus: vcpusFor(size), memoryMiB: guestMemoryMiB(size), scratchBytes };
}

function viewOf({ id, shape, sizeBytes, builtMicros, isLoaded, hasZygote }: Template): TemplateView {
  return { id, ...shape, sizeBytes, builtMicros, isLoaded, hasZygote };
}
