import { runCommand } from "@isopod/base";

/**
 * Everything about a tree that an image must preserve, one line a file, by GNU find and its like rather than by code of
 * ours: kind, mode, owner, time, size, target, device, links, attributes, contents. Two equal trees list equally.
 */
export async function listTree(root: string): Promise<string> {
  const shell = `
    cd "$1"
    find . -printf '%i %y %m %U %G %T@ %l' -a \\( -type d -printf ' -' -o -printf ' %s %n' \\) -printf ' %p\\n' | sort -k8
    find . -type f -size -64M -print0 | sort -z | xargs -0 -r sha256sum
    find . -type f -size +64M -print0 | sort -z | xargs -0 -r -n1 tail -c 4096 | sha256sum
    find . \\( -type b -o -type c \\) -print0 | sort -z | xargs -0 -r stat -c '%n %t:%T'
    find . -print0 | sort -z | xargs -0 -r getfattr -h -d -m - -e hex --absolute-names
  `;
  const { stdout } = await runCommand("bash", ["-ec", shell, "bash", root]);
  return renumber(stdout);
}

/** Inode numbers differ between file systems; which names share one must not. */
function renumber(listing: string): string {
  const names = new Map<string, string>();
  const lines = listing.split("\n").map((line) => {
    const match = /^([0-9]+) ([a-z] [0-7]+ .*)$/.exec(line);
    if (match === null) return line;
    const [, inode = "", rest = ""] = match;
    const path = rest.slice(rest.lastIndexOf(" ./") + 1);
    if (!names.has(inode)) names.set(inode, path);
    return `${names.get(inode)} ${rest}`;
  });
  return lines.join("\n");
}
