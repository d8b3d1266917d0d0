import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describeError, type Logger } from "@isopod/base";
import type { Template, TemplateShape, Templates } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { BootSettings } from "../start-machine.ts";
import { buildTemplate, type MakeScratch } from "./build-template.ts";
import { SavedTemplate } from "./saved-template.ts";
import { type TemplateBase, templateId } from "./template-key.ts";

/** What templates that are being made are called until they are whole. */
const unfinished = ".unfinished";

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
  readonly #building = new Map<string, Promise<Template>>();

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
      if (template?.id === name && templateId(base, template.shape) === name) store.#known.set(name, template);
      else await rm(path, { recursive: true, force: true });
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
      if (this.#known.get(id) === template) await this.#drop(template);
      return undefined;
    }
  }

  async build(shape: TemplateShape, makeScratch: MakeScratch, signal?: AbortSignal): Promise<Template> {
    const found = await this.find(shape);
    if (found !== undefined) return found;
    const id = templateId(this.#base, shape);
    const building = this.#building.get(id);
    if (building !== undefined) return await building;
    const made = this.#make(id, shape, makeScratch, signal).finally(() => this.#building.delete(id));
    this.#building.set(id, made);
    return await made;
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
    await Promise.allSettled(this.#building.values());
    for (const template of this.#known.values()) await template.unload();
  }

  async #make(
    id: string,
    shape: TemplateShape,
    makeScratch: MakeScratch,
    signal: AbortSignal | undefined,
  ): Promise<Template> {
    const path = join(this.#directory, id);
    const temporary = `${path}${unfinished}`;
    await rm(temporary, { recursive: true, force: true });
    await buildTemplate(temporary, id, shape, makeScratch, this.#settings, signal);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
    const template = await SavedTemplate.open(path, this.#settings.launchers.path);
    if (template === undefined) throw new Error(`template ${id} vanished`);
    this.#known.set(id, template);
    await template.load();
    this.#logger.info({ template: id, ...shape, sizeBytes: template.sizeBytes }, "a template was made");
    return template;
  }

  async #drop(template: SavedTemplate): Promise<void> {
    this.#known.delete(template.id);
    await template.unload();
    await rm(template.directory, { recursive: true, force: true });
  }
}
