import { posix } from "node:path";
import type { ContainerSpec } from "@isopod/guest";
import type { ImageAccounts } from "@isopod/image";

export type ContainerIdentity = NonNullable<ContainerSpec["identity"]>;

/** What decides who a container runs as. */
export type IdentitySource = Pick<ContainerSpec, "user" | "supplementalGroups" | "mounts" | "terminationMessagePath">;

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupLine {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const accountFiles = ["/etc/passwd", "/etc/group"] as const;
const maxId = 0xffff_ffff;

/**
 * Who a container runs as, from its image's files: a guest just forked takes 8 ms (emulated) to find out. Every
 * attempt of a container begins with the files of its image, so these are right for restarts as well.
 *
 * The same rules as in the guest (`guest/agent/src/identity.rs`), where the tests are the same, too. Undefined when the
 * guest is to look itself: a name is not there, which is its error to tell, or a volume or the termination message
 * covers a file. (One that is mounted by way of a link of the image's is not noticed.)
 */
export function containerIdentity(
  spec: IdentitySource,
  accounts: ImageAccounts | undefined,
): ContainerIdentity | undefined {
  const covers = [spec.terminationMessagePath, ...spec.mounts.map((mount) => mount.path)];
  if (accounts === undefined || covers.some(coversAccounts)) return undefined;
  return lookUp(spec.user, accounts, spec.supplementalGroups);
}

function coversAccounts(path: string): boolean {
  if (path === "") return false;
  const covered = posix.resolve("/", path);
  return accountFiles.some((file) => file === covered || file.startsWith(covered === "/" ? "/" : `${covered}/`));
}

/** `user` as in an image's configuration: "", `name`, `uid`, `user:group`. Numbers need no entry; names do. */
function lookUp(
  user: string,
  accounts: ImageAccounts,
  supplementalGroups: readonly number[],
): ContainerIdentity | undefined {
  const colon = user.indexOf(":");
  const groupName = colon < 0 ? "" : user.slice(colon + 1);
  const userName = (colon < 0 ? user : user.slice(0, colon)) || "0";
  const userNumber = idOf(userName);
  const users = passwdLines(accounts.passwd);
  const entry = users.find(({ name }) => name === userName) ?? users.find(({ uid }) => uid === userNumber);
  const uid = entry?.uid ?? userNumber;
  if (uid === undefined) return undefined;
  const groups = groupLines(accounts.group);
  const gid =
    groupName === "" ? (entry?.gid ?? 0) : (groups.find(({ name }) => name === groupName)?.gid ?? idOf(groupName));
  if (gid === undefined) return undefined;
  // As Docker: an explicit group leaves out those the user is a member of.
  const memberOf = groups.filter(
    ({ members }) => groupName === "" && entry !== undefined && members.includes(entry.name),
  );
  const all = new Set([...memberOf.map((group) => group.gid), ...supplementalGroups, gid]);
  return { uid, gid, groups: [...all].toSorted((one, other) => one - other), home: entry?.home || "/" };
}

function passwdLines(text: string): readonly PasswdLine[] {
  return linesOf(text).flatMap(([name = "", , uidText, gidText, , home = ""]) => {
    const uid = idOf(uidText);
    const gid = idOf(gidText);
    return uid === undefined || gid === undefined ? [] : [{ name, uid, gid, home }];
  });
}

function groupLines(text: string): readonly GroupLine[] {
  return linesOf(text).flatMap(([name = "", , gidText, members = ""]) => {
    const gid = idOf(gidText);
    return gid === undefined ? [] : [{ name, gid, members: members.split(",") }];
  });
}

function linesOf(text: string): readonly (readonly string[])[] {
  return text.split(/\r?\n/).map((line) => line.split(":"));
}

/** A user's or group's number, as Rust reads a `u32`: digits, and perhaps a plus sign. */
function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\+?[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maxId ? id : undefined;
}
