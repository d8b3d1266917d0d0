/** The longest path accepted; the kernel's own limit on one system call is 4096. */
const maxPathBytes = 16 * 1024;
const maxNameBytes = 255;

export type PathResult = { readonly path: string } | { readonly refused: string };

/**
 * Normalises a name of a tar archive. Absolute names are relative to the image's root, as in Docker; `a/../b` is `b`;
 * a name that climbs out of the root is refused, and so is one the kernel could not hold.
 */
export function normaliseEntryPath(raw: string): PathResult {
  if (raw.length > maxPathBytes) return { refused: `its name is longer than ${maxPathBytes} bytes` };
  if (raw.includes("\0")) return { refused: "its name has a NUL byte" };
  const parts: string[] = [];
  for (const part of raw.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (parts.length === 0) return { refused: "its name climbs out of the image" };
      parts.pop();
    } else if (part.length > maxNameBytes) {
      return { refused: `a part of its name is longer than ${maxNameBytes} bytes` };
    } else {
      parts.push(part);
    }
  }
  return { path: parts.join("/") };
}

export function parentPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function joinPath(parent: string, name: string): string {
  return parent === "" ? name : `${parent}/${name}`;
}
