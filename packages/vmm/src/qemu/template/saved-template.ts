import { type FileHandle, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Template, TemplateShape } from "../../contract.ts";
import type { BackingFile } from "../block-nodes.ts";
import { loadMemory } from "./load-memory.ts";
import { diskBytesOf, readManifest, templateFiles, type TemplateManifest } from "./template-files.ts";
import { digestOfFiles } from "./template-key.ts";

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

  /**
   * The sealed memory, as a path that a launcher can open while this process lives. Rejects when the files are not what
   * was saved; a later call tries again.
   */
  async load(): Promise<string> {
    this.#memory ??= this.#loadVerified().catch((error: unknown) => {
      this.#memory = undefined;
      throw error;
    });
    const { fd } = await this.#memory;
    return `/proc/${process.pid}/fd/${fd}`;
  }

  /** Gives the memory back, once no machine has it. */
  async unload(): Promise<void> {
    const memory = this.#memory;
    this.#memory = undefined;
    await (await memory?.catch(() => undefined))?.close();
  }

  async #loadVerified(): Promise<FileHandle> {
    const files = [templateFiles.memory, templateFiles.state, templateFiles.scratch];
    const paths = files.map((name) => join(this.directory, name));
    const [packed = ""] = paths;
    // Side by side: the digest is of the files, which nobody writes to.
    const loading = loadMemory(this.#launcherPath, packed, this.shape.memoryMiB * mebibyte);
    try {
      for (const { path } of this.#manifest.scratchBacking) await stat(path);
      const digest = await digestOfFiles(paths);
      if (digest !== this.#manifest.digest) throw new Error(`the files of template ${this.id} are damaged`);
      return await loading;
    } catch (error) {
      await loading.then(
        async (memory) => await memory.close(),
        () => {},
      );
      throw error;
    }
  }
}
