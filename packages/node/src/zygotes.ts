import { describeError, type Logger } from "@isopod/base";
import type { MakeScratch, Template, Templates, TemplateShape } from "@isopod/vmm";

/** Those of the templates used last; each takes some 80 MiB of memory. */
const zygotesMax = 4;
/** The start that asked is to have the processor meanwhile: making a zygote takes one for most of a second. */
const delayMs = 1000;
/** Before it is tried again for a template whose zygote could not be made. */
const retryMs = 600_000;

export interface ZygotesOptions {
  readonly templates: Pick<Templates, "keepZygote" | "dropZygote">;
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

  /** Never rejects. */
  async #keep(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { used, logger } = this.#options;
    try {
      const templates = await used();
      for (const template of templates.slice(zygotesMax)) await this.#drop(template);
      for (const template of templates.slice(0, zygotesMax)) await this.#make(template);
    } catch (error) {
      logger.warn({ reason: describeError(error) }, "the templates in use are not known; zygotes stay as they are");
    }
  }

  /** What could not be removed is tried again with the next call. */
  async #drop(template: Template): Promise<void> {
    const { templates, logger } = this.#options;
    try {
      await templates.dropZygote(template);
    } catch (error) {
      logger.warn({ template: template.id, reason: describeError(error) }, "a zygote could not be removed");
    }
  }

  async #make(template: Template): Promise<void> {
    const { templates, makeScratch, logger } = this.#options;
    const { signal } = this.#stopped;
    if (signal.aborted || (this.#failed.get(template.id) ?? 0) > performance.now()) return;
    try {
      await templates.keepZygote(template, makeScratch(template.shape, signal), signal);
      this.#failed.delete(template.id);
    } catch (error) {
      if (signal.aborted) return;
      this.#failed.set(template.id, performance.now() + retryMs);
      logger.warn({ template: template.id, reason: describeError(error) }, "instances start without a zygote");
    }
  }
}
