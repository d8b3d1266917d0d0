/**
 * The host's images: pulled from registries or loaded from archives, kept as blocks.
 *
 * An image becomes one EROFS disk: a small *metadata blob* made per manifest, followed by one *data blob* per layer,
 * concatenated in order. Blobs are files in the block store, named by digest, shared by every image and instance.
 * Nothing is unpacked on the host's file system and nothing here needs root.
 */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

/** What one pull is doing; sent at most ten times a second, plus once for every change of `stage`. */
export interface PullProgress {
  readonly reference: string;
  readonly stage: "resolve" | "download" | "convert" | "commit" | "done";
  /** Compressed bytes fetched so far, over all layers, cached ones included. */
  readonly doneBytes: number;
  /** Compressed bytes of all layers; 0 until the manifest is known. */
  readonly totalBytes: number;
}

export interface PullOptions {
  readonly credentials?: RegistryCredentials;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal;
}

/** The part of an OCI image configuration a container needs; absent lists are empty. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `user`, `user:group`, numeric or by name; "" means root. */
  readonly user: string;
  /** "" means `/`. */
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Paths the image declares as volumes. */
  readonly volumes: readonly string[];
}

/** Text of an image's account files; "" for one that it does not have. */
export interface ImageAccounts {
  /** /etc/passwd, at most 64 KiB. */
  readonly passwd: string;
  /** /etc/group, at most 64 KiB. */
  readonly group: string;
}

/** One extent of an image's disk: a whole file, whose size is a multiple of 4096. */
export interface DiskPart {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface Image {
  /** `sha256:…` of the manifest of this platform. */
  readonly digest: string;
  /**
   * Names that point to it, as `registry/repository:tag` or `registry/repository@sha256:…`, normalised, sorted.
   * None when its tag has moved on, or an archive gave it none: it then stays until garbage is collected.
   */
  readonly references: readonly string[];
  readonly config: ImageConfig;
  /**
   * Who its users are. Absent when that must be looked up in a container: one of the files is no regular one, lies
   * behind a symbolic link, is longer than 64 KiB or is no text; or the image was stored before they were kept.
   */
  readonly accounts?: ImageAccounts;
  readonly architecture: string;
  /** Bytes on this host's disk, layers shared with other images included. */
  readonly sizeBytes: number;
  /** Compressed bytes as the registry counts them. */
  readonly downloadBytes: number;
  /** When it was built, as its configuration says; 0 when that does not say. */
  readonly createdMs: number;
  /** The disk: its extents in order. Their concatenation is one EROFS file system with 4096-byte blocks. */
  readonly disk: readonly DiskPart[];
}

export interface CollectResult {
  readonly removedBlobs: number;
  readonly freedBytes: number;
}

/**
 * Every method is safe to call concurrently and to repeat; two pulls of one reference share the work.
 * All throw `ImageError` (stage `pull`, `convert` or `load`), whose code is closed: see `image-error.ts`.
 */
export interface ImageStore extends AsyncDisposable {
  /**
   * Fetches what is missing and returns the image. A reference with a digest that is present does no I/O over the
   * network; a tag is resolved anew each time.
   */
  pull(reference: string, options?: PullOptions): Promise<Image>;
  /**
   * Loads an OCI layout (directory or tar) or a `docker save` archive (tar, gzip, zstd); returns every image in it that
   * is for this host's platform. Names come from the archive; `reference` replaces them when there is one image.
   */
  load(
    path: string,
    options?: { readonly reference?: string; readonly signal?: AbortSignal },
  ): Promise<readonly Image[]>;
  /** By reference (normalised first) or by manifest digest; undefined when not on this host. */
  get(referenceOrDigest: string): Promise<Image | undefined>;
  /** All images, sorted by first reference. */
  list(): Promise<readonly Image[]>;
  /**
   * Removes one name, or, given a digest, the image with all its names; with its last name an image goes too, and its
   * layers with the next garbage. Throws `NotFound`, or `InUse` when the image would go and is held.
   */
  remove(referenceOrDigest: string): Promise<void>;
  /**
   * Keeps an image's blobs safe from garbage collection while `holder` (an instance) uses it; survives restarts
   * (a file per hold). Idempotent.
   */
  hold(digest: string, holder: string): Promise<void>;
  /** Idempotent; unknown holders are no error. */
  release(holder: string): Promise<void>;
  /** Deletes images without a name and a holder, and blobs no image needs; never what a running pull uses. */
  collectGarbage(): Promise<CollectResult>;
}
