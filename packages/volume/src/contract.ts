/** Disks of instances: made on the host as files, attached to the VM, never mounted on the host. */
export interface ScratchDisk {
  /**
   * qcow2 whose virtual size is exactly the size sold. It names no backing file: whoever opens it says which,
   * so that no path is read from a file that a VM can write.
   */
  readonly path: string;
  /** Raw, pre-formatted ext4 of that size, shared by every instance of the size, read-only. */
  readonly backingPath: string;
  readonly sizeBytes: number;
}

/** Throws `VolumeError` (stage `scratch`): `NoSpace`, `MissingProgram`, `InvalidSize`, `CommandFailed`. */
export interface ScratchDisks {
  /**
   * Makes `path`, empty, also where one was before; the ext4 template of that size is made on first use and kept.
   * `sizeBytes` is a multiple of 1 MiB from 16 MiB to 16 TiB. The file is `userId`'s alone (mode 0600).
   */
  create(path: string, sizeBytes: number, userId: number, signal?: AbortSignal): Promise<ScratchDisk>;
}
