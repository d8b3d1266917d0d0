import { ImageError } from "../image-error.ts";
import type { TarEntry } from "../tar/tar-entry.ts";
import { baseName, joinPath, normaliseEntryPath, parentPath } from "./entry-path.ts";
import type { LayerEntry } from "./layer-entry.ts";

const whiteoutPrefix = ".wh.";
const aufsPrefix = ".wh..wh.";
const opaqueName = ".wh..wh..opq";
/** One less than PATH_MAX: the kernel cannot follow a longer one. */
const maxLinkTextBytes = 4095;
const maxId = 0xffff_ffff;

/** Refusals name the layer and the entry. Bytes that are no UTF-8 are shown as they would be in latin1. */
export function invalidEntry(layerName: string, path: string, why: string): ImageError {
  const shown = JSON.stringify(Buffer.from(path.slice(0, 300), "latin1").toString());
  return new ImageError(`${layerName}: entry ${shown} is refused: ${why}`, {
    code: "InvalidLayer",
    stage: "convert",
    object: layerName,
  });
}

/**
 * A tar entry in the form layers are merged in: name normalised, whiteouts understood, numbers checked.
 * Undefined for the entries AUFS left in old layers, which mean nothing to anyone else. Throws `InvalidLayer`.
 */
export function toLayerEntry(tarEntry: TarEntry, startBlock: number, layerName: string): LayerEntry | undefined {
  const refuse = (why: string): never => {
    throw invalidEntry(layerName, tarEntry.path, why);
  };
  const path = normalise(tarEntry.path, refuse);
  if (tarEntry.uid < 0 || tarEntry.uid > maxId) refuse(`its owner ${tarEntry.uid} is out of range`);
  if (tarEntry.gid < 0 || tarEntry.gid > maxId) refuse(`its group ${tarEntry.gid} is out of range`);
  const entry = {
    path,
    linkPath: "",
    mode: tarEntry.mode,
    uid: tarEntry.uid,
    gid: tarEntry.gid,
    mtimeSeconds: tarEntry.mtimeSeconds,
    mtimeNanoseconds: tarEntry.mtimeNanoseconds,
    sizeBytes: tarEntry.sizeBytes,
    startBlock: tarEntry.sizeBytes === 0 ? 0 : startBlock,
    deviceMajor: tarEntry.deviceMajor,
    deviceMinor: tarEntry.deviceMinor,
    extendedAttributes: tarEntry.extendedAttributes.filter(isKept).toSorted(byName),
  };
  checkAttributes(entry.extendedAttributes, refuse);

  const name = baseName(path);
  if (path.startsWith(aufsPrefix) || path.includes(`/${aufsPrefix}`)) {
    if (name !== opaqueName || parentPath(path).includes(aufsPrefix)) return undefined;
    return { ...entry, type: "opaque", path: parentPath(path), startBlock: 0, sizeBytes: 0 };
  }
  if (name.startsWith(whiteoutPrefix)) {
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") refuse("it hides no name");
    return { ...entry, type: "whiteout", path: joinPath(parentPath(path), hidden), startBlock: 0, sizeBytes: 0 };
  }

  switch (tarEntry.type) {
    case "hardLink":
      return { ...entry, type: "hardLink", linkPath: normalise(tarEntry.linkPath, refuse) };
    case "symbolicLink": {
      const text = tarEntry.linkPath;
      if (text === "") refuse("its target is empty");
      if (text.length > maxLinkTextBytes) refuse(`its target is longer than ${maxLinkTextBytes} bytes`);
      if (text.includes("\0")) refuse("its target has a NUL byte");
      // Linux gives every symbolic link all permissions; archives of other systems may say something else.
      return { ...entry, type: "symbolicLink", linkPath: text, mode: 0o777 };
    }
    case "characterDevice":
    case "blockDevice": {
      // The kernel's dev_t has 12 and 20 bits.
      const { deviceMajor, deviceMinor } = tarEntry;
      if (deviceMajor < 0 || deviceMajor > 0xfff || deviceMinor < 0 || deviceMinor > 0xf_ffff) {
        refuse("its device number is out of range");
      }
      return { ...entry, type: tarEntry.type };
    }
    default:
      return { ...entry, type: tarEntry.type };
  }
}

function normalise(raw: string, refuse: (why: string) => never): string {
  const result = normaliseEntryPath(raw);
  if ("refused" in result) return refuse(result.refused);
  return result.path;
}

type Attributes = LayerEntry["extendedAttributes"];

const keptNamespaces = ["user.", "trusted.", "security."];
const accessControlLists = ["system.posix_acl_access", "system.posix_acl_default"];

/**
 * Only namespaces Linux and EROFS have. What overlayfs itself would obey is left out: the image is the lower side of
 * an overlay in the guest, and a stray `trusted.overlay.redirect` would rearrange it.
 */
function isKept({ name }: { readonly name: string }): boolean {
  if (accessControlLists.includes(name)) return true;
  if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) return false;
  return keptNamespaces.some((namespace) => name.startsWith(namespace) && name.length > namespace.length);
}

function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : 1;
}

/** The kernel's limits: 255 bytes a name, 64 KiB a value; and the space an EROFS inode has for all of them. */
function checkAttributes(attributes: Attributes, refuse: (why: string) => never): void {
  if (attributes.length > 255) refuse("it has more than 255 extended attributes");
  let total = 0;
  for (const { name, value } of attributes) {
    if (name.length > 255 || name.includes("\0")) refuse("the name of an extended attribute is not valid");
    if (value.length > 65_535) refuse(`its extended attribute ${name} is larger than 65535 bytes`);
    total += 8 + name.length + value.length;
  }
  if (total > 200_000) refuse("its extended attributes are larger than 200000 bytes together");
}
