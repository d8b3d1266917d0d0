import type { InstanceSize } from "@isopod/api";

/** A booted machine that instances of its size are forked from, as clients see it. */
export interface TemplateView {
  readonly id: string;
  readonly vcpus: number;
  /** Memory of the guest. */
  readonly memoryMiB: number;
  /** Size of the writable disk its machine was booted with. */
  readonly scratchBytes: number;
  /** What its files take on disk. */
  readonly sizeBytes: number;
  readonly builtMicros: number;
  /** It is in memory: the next fork waits for nothing. */
  readonly isLoaded: boolean;
  /** A fork of it stands ready to be cloned: starts are at their quickest. */
  readonly hasZygote: boolean;
}

/** The templates of one node. Rejections are for the user: they say what failed and what to do. */
export interface NodeTemplates {
  list(): Promise<readonly TemplateView[]>;
  /**
   * Builds what is missing, and resolves with the templates of these sizes. No size: every size of the catalogue that the
   * node can hold. `onProgress` is called with plain data for the user: `{ stage, size }`, where `size` is a word such as
   * `0.25x512Mi`. The signal ends the building; what is complete by then stays.
   */
  build(
    sizes: readonly InstanceSize[],
    onProgress: (line: object) => void,
    signal: AbortSignal,
  ): Promise<readonly TemplateView[]>;
  /** Removes one template; instances that were forked from it run on. Rejects when there is none of that id. */
  remove(id: string): Promise<void>;
}
