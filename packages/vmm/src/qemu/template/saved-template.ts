import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Template, TemplateShape } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { BackingFile } from "../block-nodes.ts";
import { loadMemory } from "./load-memory.ts";
import { diskBytesOf, readManifest, stampOfFiles, templateFiles, type TemplateManifest } from "./template-files.ts";
import { digestOfFiles } from "./template-key.ts";
import type { Zygote } from "./zygote.ts";

const mebibyte = 1024 * 1024;

/** A template on disk, and in memory once it is {@link load}ed: then it can be forked until it is {@link unload}ed. */
export class SavedTemplate implements Template {
  readonly id: string;
  readonly shape: TemplateShape;
  readonly builtMicros: number;
  readonly sizeBytes: number;
  readonly directory: string;
  readonly #manifest: TemplateManifest;
  readonly #launcherPath: string;
  #memory: Promise<FileHandle> | undefined;
  readonly #uses = new Set<Promise<unknown>>();
  #making: Promise<void> | undefined;
  #zygote: Zygote | undefined;
  /** The one before, until its end has succeeded: both would be in one place. */
  #leaving: Zygote | undefined;
  #ending: Promise<void> | undefined;

  private constructor(directory: string, manifest: TemplateManifest, sizeBytes: number, launcherPath: string) {
    this.id = manifest.id;
    this.shape = manifest.shape;
    this.builtMicros = manifest.builtMicros;
    this.sizeBytes = sizeBytes;
    this.directory = directory;
    this.#manifest = manifest;
    this.#launcherPath = launcherPath;
  }

  /** Undefined when there is none in the directory. What its files hold is judged when it is loaded. */
  static async open(directory: string, launcherPath: string): Promise<SavedTemplate | undefined> {
    const manifest = await readManifest(directory);
    if (manifest === undefined) return undefined;
    return new SavedTemplate(directory, manifest, await diskBytesOf(directory), launcherPath);
  }

  get isLoaded(): boolean {
    return this.#memory !== undefined;
  }

  get hasZygote(): boolean {
    return this.#zygote !== undefined;
  }

  get zygote(): Zygote | undefined {
    return this.#zygote;
  }

  /** Makes one if there is none; a second call waits for the first. */
  async keepZygote(make: () => Promise<Zygote>): Promise<void> {
    if (this.#zygote !== undefined) return;
    this.#making ??= this.#make(make).finally(() => {
      this.#making = undefined;
    });
    await this.#making;
  }

  async #make(make: () => Promise<Zygote>): Promise<void> {
    await this.#endLeaving();
    this.#zygote = await make();
  }

  async dropZygote(): Promise<void> {
    await this.#making?.catch(() => {});
    if (this.#zygote !== undefined) {
      this.#leaving = this.#zygote;
      this.#zygote = undefined;
    }
    await this.#endLeaving();
  }

  /** What failed is tried again by the next call. */
  async #endLeaving(): Promise<void> {
    const leaving = this.#leaving;
    if (leaving === undefined) return;
    this.#ending ??= leaving
      .end()
      .then(() => {
        this.#leaving = undefined;
      })
      .finally(() => {
        this.#ending = undefined;
      });
    await this.#ending;
  }

  get statePath(): string {
    return join(this.directory, templateFiles.state);
  }

  /** See {@link TemplateManifest}. */
  get scsiDisks(): number | undefined {
    return this.#manifest.scsiDisks;
  }

  /** The scratch disk as it was saved, and what it has below it. */
  get scratchBacking(): readonly BackingFile[] {
    return [{ format: "qcow2", path: join(this.directory, templateFiles.scratch) }, ...this.#manifest.scratchBacking];
  }

  /** Throws `VmmError` `TemplateFailed` when the files are not what was saved; a later call tries again. */
  async load(): Promise<void> {
    await this.#loaded();
  }

  /**
   * Loads the template and has something done with the sealed memory, as a path that a launcher can open meanwhile:
   * until then it is not unloaded, or the path would soon be that of another file.
   */
  async use<Result>(work: (memoryPath: string) => Promise<Result>): Promise<Result> {
    const using = this.#loaded().then(async ({ fd }) => await work(`/proc/${process.pid}/fd/${fd}`));
    // At once: an unload that comes before the work begins waits for it too.
    this.#uses.add(using);
    try {
      return await using;
    } finally {
      this.#uses.delete(using);
    }
  }

  /** Gives the memory back, once no machine has it, and ends the zygote. */
  async unload(): Promise<void> {
    try {
      await this.dropZygote();
    } finally {
      const memory = this.#memory;
      this.#memory = undefined;
      const handle = await memory?.catch(() => undefined);
      await Promise.allSettled(this.#uses);
      await handle?.close();
    }
  }

  async #loaded(): Promise<FileHandle> {
    this.#memory ??= this.#loadVerified().catch((cause: unknown) => {
      this.#memory = undefined;
      if (cause instanceof VmmError) throw cause;
      throw this.#failure(cause instanceof Error ? cause.message : String(cause), cause);
    });
    return await this.#memory;
  }

  async #loadVerified(): Promise<FileHandle> {
    const files = [templateFiles.memory, templateFiles.state, templateFiles.scratch];
    const paths = files.map((name) => join(this.directory, name));
    const [packed = ""] = paths;
    // Side by side: the digest is of the files, which nobody writes to.
    const loading = loadMemory(this.#launcherPath, packed, this.shape.memoryMiB * mebibyte);
    // Heard below, and that may be long after it failed.
    loading.catch(() => {});
    try {
      const below = this.#manifest.scratchBacking.map((one) => one.path);
      const isSameBelow = (await stampOfFiles(below)) === this.#manifest.scratchStamp;
      if (!isSameBelow) throw this.#failure(`what its scratch disk lies on was changed (${below.join(", ")})`);
      const isWhole = (await digestOfFiles(paths)) === this.#manifest.digest;
      if (!isWhole) throw this.#failure("its files are damaged");
      return await loading;
    } catch (error) {
      await loading.then(
        async (memory) => await memory.close(),
        () => {},
      );
      throw error;
    }
  }

  #failure(reason: string, cause?: unknown): VmmError {
    return new VmmError(`template ${this.id} cannot be used: ${reason}`, {
      code: "TemplateFailed",
      stage: "template",
      object: this.directory,
      remedy: "A template of a size is made again by itself; a snapshot is to be taken again.",
      cause,
    });
  }
}
