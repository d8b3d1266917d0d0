/** A run of bytes of a file. */
export interface FileRange {
  readonly path: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Named files of images on this host's disk: a directory, or a tar archive that is read in place. */
export interface ImageArchive extends AsyncDisposable {
  /** Undefined when there is no such file. `name` has slashes between its parts and never leads outside. */
  locate(name: string): Promise<FileRange | undefined>;
}
