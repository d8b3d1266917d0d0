import { describeError, type Logger } from "@isopod/base";
import type { MakeScratch, Template, TemplateShape, Vmm } from "@isopod/vmm";

/** Those of the templates used last; each takes some 80 MiB of memory. */
const zygotesMax = 4;
/** The start that asked is to have the processor meanwhile: making a zygote takes one for most of a second. */
const delayMs = 1000;
/** Before it is tried again for a template whose zygote could not be made. */
const retryMs = 600_000;

export interface ZygotesOptions {
  readonly vmm: Vmm;
  readonly logger: Logger;
  readonly makeScratch: (shape: TemplateShape, signal: AbortSignal) => MakeScratch;
  /** The templates that were used here, the last one first. */
  readonly used: () => Promise<readonly Template[]>;
}

/** Keeps zygotes of the templates that are in use. Starts do without them when there are none. */
export class Zygotes {
  readonly #options: ZygotesOptions;
  readonly #stopped = new AbortController();
  /** When to try again, by template. */
  readonly #failed = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  /** Never rejects. */
  #keeping: Promise<void> = Promise.resolve();

  constructor(options: ZygotesOptions) {
    this.#options = options;
  }

  keepSoon(): void {
    if (this.#timer !== undefined || this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.keep();
    }, delayMs).unref();
  }

  /** Now; resolves when there are as many as are kept, or could be made. */
  async keep(): Promise<void> {
    this.#keeping = this.#keeping.then(async () => await this.#keep());
    await this.#keeping;
  }

  async close(): Promise<void> {
    this.#stopped.abort(new Error("the node agent stops"));
    clearTimeout(this.#timer);
    await this.#keeping;
  }

  async #keep(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { vmm, makeScratch, logger } = this.#options;
    const { signal } = this.#stopped;
    const used = await this.#options.used();
    for (const template of used.slice(zygotesMax)) await vmm.templates.dropZygote(template);
    for (const template of used.slice(0, zygotesMax)) {
      if (signal.aborted) return;
      if ((this.#failed.get(template.id) ?? 0) > performance.now()) continue;
      try {
        await vmm.templates.keepZygote(template, makeScratch(template.shape, signal), signal);
        this.#failed.delete(template.id);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed.set(template.id, performance.now() + retryMs);
        logger.warn({ template: template.id, reason: describeError(error) }, "instances start without a zygote");
      }
    }
  }
}
