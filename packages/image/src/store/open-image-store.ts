import { type Clock, type Logger, systemClock } from "@isopod/base";
import { mkdir, readdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { ImageStore } from "../contract.ts";
import { defaultLayerLimits, type LayerLimits } from "../layer/layer-entry.ts";
import { HttpTransport } from "../registry/http-transport.ts";
import { hostPlatform } from "../registry/platform.ts";
import { WorkerPool } from "../worker/worker-pool.ts";
import { BlobStore } from "./blob-store.ts";
import { Catalogue } from "./catalogue.ts";
import { DiskImageStore } from "./disk-image-store.ts";
import { ImageImporter } from "./image-importer.ts";
import { Mutex } from "./mutex.ts";
import { lockStore } from "./store-lock.ts";
import { StorePaths } from "./store-paths.ts";

export interface OpenImageStoreOptions {
  /** Made when missing. One process at a time may have it open. */
  readonly directory: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** `host` or `host:port` of registries that may speak plain HTTP; loopback always may. */
  readonly insecureRegistries?: readonly string[];
  /** For a registry's name (`docker.io`), hosts asked before it, in order; they get no credentials. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Layers downloaded and converted at once, each in a thread; default: processors, at least 2, at most 6. */
  readonly maxParallelLayers?: number;
  /** A registry that sends less than 16 KiB in this time is given up; default 30000, sensible 5000–120000. */
  readonly stallTimeoutMs?: number;
  readonly limits?: Partial<LayerLimits>;
}

/** Opens the store, removing what a crash left half-made. Throws `StoreLocked` when another process has it. */
export async function openImageStore(options: OpenImageStoreOptions): Promise<ImageStore> {
  const clock = options.clock ?? systemClock;
  const paths = new StorePaths(options.directory);
  for (const directory of paths.directories) await mkdir(directory, { recursive: true });
  const lock = await lockStore(options.directory);
  try {
    for (const name of await readdir(paths.temporary)) {
      await rm(join(paths.temporary, name), { recursive: true, force: true });
    }
    const mutex = new Mutex();
    const blobs = new BlobStore(paths, mutex);
    await blobs.open();
    const catalogue = new Catalogue(paths, options.logger);
    await catalogue.open(blobs);
    const pool = new WorkerPool(options.maxParallelLayers ?? Math.min(6, Math.max(2, availableParallelism())));
    const platform = hostPlatform();
    const limits = { ...defaultLayerLimits, ...options.limits };
    const importer = new ImageImporter({ paths, mutex, blobs, catalogue, pool, limits, platform });
    const transport = new HttpTransport({
      clock,
      insecureRegistries: options.insecureRegistries ?? [],
      stallTimeoutMs: options.stallTimeoutMs ?? 30_000,
    });
    const { logger, mirrors = {} } = options;
    const puller = { transport, platform, logger, mirrors };
    return new DiskImageStore({ paths, mutex, blobs, catalogue, pool, importer, puller, clock, lock });
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}
