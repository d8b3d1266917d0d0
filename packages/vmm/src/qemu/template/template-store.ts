import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, describeError, type Logger, settleAll, untilAborted } from "@isopod/base";
import type { MakeScratch, Template, TemplateShape, Templates } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { BootSettings } from "../start-machine.ts";
import { buildTemplate } from "./build-template.ts";
import { removeWorkDirectory } from "../end-by-record.ts";
import { SavedTemplate } from "./saved-template.ts";
import { type TemplateBase, templateId } from "./template-key.ts";
import { Zygote } from "./zygote.ts";

/** What templates that are being made are called until they are whole. */
const unfinished = ".unfinished";
/** In the directory of its template. */
const zygoteName = "zygote";

/**
 * The booted templates of one directory. `DIRECTORY/ID/` is one that is whole; others are removed when the store is
 * opened, as are those whose id no shape has any more: of another kernel, agent or monitor.
 */
export class TemplateStore implements Templates {
  readonly #directory: string;
  readonly #base: TemplateBase;
  readonly #settings: BootSettings;
  readonly #logger: Logger;
  readonly #known = new Map<string, SavedTemplate>();
  readonly #building = new Map<string, Building>();
  readonly #dropping = new Map<string, Promise<void>>();

  private constructor(directory: string, base: TemplateBase, settings: BootSettings) {
    this.#directory = directory;
    this.#base = base;
    this.#settings = settings;
    this.#logger = settings.logger;
  }

  static async open(directory: string, base: TemplateBase, settings: BootSettings): Promise<TemplateStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const store = new TemplateStore(directory, base, settings);
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      const template = await SavedTemplate.open(path, settings.launchers.path);
      const isUsable = template?.id === name && templateId(base, template.shape) === name;
      if (isUsable) store.#known.set(name, template);
      try {
        if (isUsable) await removeWorkDirectory(join(path, zygoteName), settings.clock);
        else await removeRemains(path, settings.clock);
      } catch (error) {
        // It is tried again when something is made there, or at the next start.
        settings.logger.warn({ path, reason: describeError(error) }, "what a service left could not be removed");
      }
    }
    return store;
  }

  async list(): Promise<readonly Template[]> {
    return [...this.#known.values()].toSorted(
      (a, b) => a.shape.vcpus - b.shape.vcpus || a.shape.memoryMiB - b.shape.memoryMiB,
    );
  }

  async find(shape: TemplateShape): Promise<Template | undefined> {
    const template = this.#known.get(templateId(this.#base, shape));
    if (template === undefined) return undefined;
    try {
      await template.load();
      return template;
    } catch (error) {
      const { id } = template;
      this.#logger.warn({ template: id, reason: describeError(error) }, "a template cannot be used and is removed");
      await this.#drop(template).catch((dropping: unknown) => {
        this.#logger.warn({ template: id, reason: describeError(dropping) }, "a template left traces");
      });
      return undefined;
    }
  }

  async build(shape: TemplateShape, makeScratch: MakeScratch, signal?: AbortSignal): Promise<Template> {
    for (;;) {
      const found = await this.find(shape);
      if (found !== undefined) return found;
      signal?.throwIfAborted();
      const id = templateId(this.#base, shape);
      const others = this.#building.get(id);
      if (others === undefined) {
        const made = this.#make(id, shape, makeScratch, signal).finally(() => this.#building.delete(id));
        this.#building.set(id, { made, signal });
        return await made;
      }
      const template = await untilAborted(others.made, signal).catch((error: unknown) => {
        // Whoever asked first gave it up; whoever asked second did not.
        if (others.signal?.aborted === true && signal?.aborted !== true) return undefined;
        throw error;
      });
      if (template !== undefined) return template;
    }
  }

  async keepZygote(template: Template, makeScratch: MakeScratch, signal?: AbortSignal): Promise<void> {
    if (this.#settings.accelerator === "kvm" || !(template instanceof SavedTemplate)) return;
    // One that was dropped while this was asked for would leave its files behind.
    if (this.#known.get(template.id) !== template) return;
    const path = join(template.directory, zygoteName);
    await template.keepZygote(async () => {
      const zygote = await Zygote.make(path, template, makeScratch, this.#settings, signal);
      this.#logger.info({ template: template.id, ...template.shape }, "a template has a zygote");
      return zygote;
    });
  }

  async dropZygote(template: Template): Promise<void> {
    if (template instanceof SavedTemplate) await template.dropZygote();
  }

  async remove(id: string): Promise<void> {
    const template = this.#known.get(id);
    if (template !== undefined) return await this.#drop(template);
    throw new VmmError(`template ${id} was not found`, {
      code: "NotFound",
      stage: "template",
      object: id,
      remedy: "`isopod template ls` lists those there are.",
    });
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#building.values()].map((one) => one.made));
    // Of all of them, whatever becomes of one: nobody else would end their zygotes before the next start.
    await settleAll([...this.#known.values()].map(async (template) => await template.unload()));
  }

  async #make(
    id: string,
    shape: TemplateShape,
    makeScratch: MakeScratch,
    signal: AbortSignal | undefined,
  ): Promise<Template> {
    const path = join(this.#directory, id);
    const temporary = `${path}${unfinished}`;
    await removeRemains(temporary, this.#settings.clock);
    await buildTemplate(temporary, id, shape, makeScratch, this.#settings, signal);
    await this.#dropping.get(id)?.catch(() => {});
    await removeRemains(path, this.#settings.clock);
    await rename(temporary, path);
    const template = await SavedTemplate.open(path, this.#settings.launchers.path);
    if (template === undefined) throw new Error(`template ${id} vanished`);
    this.#known.set(id, template);
    await template.load();
    this.#logger.info({ template: id, ...shape, sizeBytes: template.sizeBytes }, "a template was made");
    return template;
  }

  /** Takes it from the list at once, and its files when forks that are starting have them open. */
  async #drop(template: SavedTemplate): Promise<void> {
    const { id, directory } = template;
    if (this.#known.get(id) === template) {
      this.#known.delete(id);
      const removed = template.unload().then(async () => await rm(directory, { recursive: true, force: true }));
      this.#dropping.set(
        id,
        removed.finally(() => this.#dropping.delete(id)),
      );
    }
    await this.#dropping.get(id);
  }
}

interface Building {
  readonly made: Promise<Template>;
  /** Of the caller that it is made for. */
  readonly signal: AbortSignal | undefined;
}

/** Removes what is left of a template, or of one that was being made when a service was killed. */
async function removeRemains(path: string, clock: Clock): Promise<void> {
  await removeWorkDirectory(join(path, zygoteName), clock);
  await removeWorkDirectory(path, clock);
}
