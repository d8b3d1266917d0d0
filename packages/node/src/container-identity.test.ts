import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type ContainerIdentity, containerIdentity, type IdentitySource } from "./container-identity.ts";

const accounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n1000:x:7:8::/odd:\nbroken\n",
  group: "root:x:0:\nwww:x:34:\nlogs:x:50:web,other\nmore:x:51:other,web\n",
};

function who(user: string, files = accounts, more: Partial<IdentitySource> = {}): ContainerIdentity | undefined {
  const spec = { user, supplementalGroups: [], mounts: [], terminationMessagePath: "/dev/termination-log", ...more };
  return containerIdentity(spec, files);
}

const is = (uid: number, gid: number, groups: readonly number[], home: string) => ({ uid, gid, groups, home });

describe("users and groups are found by name and number", () => {
  const table: readonly (readonly [string, ContainerIdentity])[] = [
    ["", is(0, 0, [0], "/root")],
    [":", is(0, 0, [0], "/root")],
    ["root", is(0, 0, [0], "/root")],
    ["web", is(33, 34, [34, 50, 51], "/srv")],
    ["33", is(33, 34, [34, 50, 51], "/srv")],
    ["+33", is(33, 34, [34, 50, 51], "/srv")],
    ["web:", is(33, 34, [34, 50, 51], "/srv")],
    ["web:logs", is(33, 50, [50], "/srv")],
    ["web:99", is(33, 99, [99], "/srv")],
    [":logs", is(0, 50, [50], "/root")],
    ["4242", is(4242, 0, [0], "/")],
    ["4242:4343", is(4242, 4343, [4343], "/")],
    ["4294967295", is(4294967295, 0, [0], "/")],
    // A name that looks like a number wins over the number, as in Docker.
    ["1000", is(7, 8, [8], "/odd")],
  ];
  for (const [user, expected] of table) {
    test(JSON.stringify(user), () => assert.deepEqual(who(user), expected));
  }
});

test("names that are not there, and numbers that are none, are left to the guest", () => {
  for (const user of [
    "nobody",
    "web:nogroup",
    "nobody:logs",
    "broken",
    "4294967296",
    "-1",
    "1e3",
    " 33",
    "0x21",
    "a:b:c",
  ]) {
    assert.equal(who(user), undefined, user);
  }
  assert.equal(who("33:4294967296"), undefined);
});

test("supplemental groups are added, each group once, in order", () => {
  assert.deepEqual(who("33:34", accounts, { supplementalGroups: [7, 34] })?.groups, [7, 34]);
  assert.deepEqual(who("web", accounts, { supplementalGroups: [100, 50, 9] })?.groups, [9, 34, 50, 51, 100]);
});

test("an image without the files has numbers only", () => {
  const none = { passwd: "", group: "" };
  assert.deepEqual(who("", none), is(0, 0, [0], "/"));
  assert.deepEqual(who("5:6", none, { supplementalGroups: [1] }), is(5, 6, [1, 6], "/"));
  assert.equal(who("root", none), undefined);
  assert.equal(who("5:root", none), undefined);
});

test("lines are read as the guest reads them", () => {
  const files = (passwd: string, group = "") => ({ passwd, group });
  const cases: readonly (readonly [string, string, string, ContainerIdentity | undefined])[] = [
    // No more fields than needed, ends of lines of DOS, no end of the last line.
    ["a", "a:x:1:2\r\nb:x:3:4:::", "", is(1, 2, [2], "/")],
    ["b", "a:x:1:2\r\nb:x:3:4::/b", "", is(3, 4, [4], "/b")],
    ["b", "b:x:3:4::/b\r\n", "g:x:9:b\r\n", is(3, 4, [4, 9], "/b")],
    ["b", "b:x:3:4", "g:x:9:b\r", is(3, 4, [4], "/")],
    ["a", "a:x:1", "", undefined],
    ["a", "a:x:1:x\na:x:2:3", "", is(2, 3, [3], "/")],
    ["a", "a:x:4294967296:1", "", undefined],
    ["a", "a:x:+1:007", "", is(1, 7, [7], "/")],
    ["a", "a:x: 1:2", "", undefined],
    // The first line of a name, and of a number, is the one that counts.
    ["a", "a:x:1:2\na:x:3:4", "", is(1, 2, [2], "/")],
    ["1", "a:x:1:2::/a\nb:x:1:4::/b", "", is(1, 2, [2], "/a")],
    ["1:g", "", "g:x:3\ng:x:4", is(1, 3, [3], "/")],
    // A user without a name is a member where nobody is.
    ["5", ":x:5:6", "g:x:9:\nh:x:10:a", is(5, 6, [6, 9], "/")],
  ];
  for (const [user, passwd, group, expected] of cases) {
    assert.deepEqual(who(user, files(passwd, group)), expected, JSON.stringify([user, passwd, group]));
  }
});

test("without the image's files, or with something mounted over them, the guest looks itself", () => {
  const mounted = (path: string) => who("web", accounts, { mounts: [{ volume: "v", path, isReadOnly: true }] });
  for (const path of ["/", "/etc", "/etc/", "//etc", "/srv/../etc", "/etc/passwd", "/etc/./group"]) {
    assert.equal(mounted(path), undefined, path);
  }
  for (const path of ["/etc/conf.d", "/etc/passwd-", "/et", "/etcetera", "/srv/etc", "/srv/etc/passwd"]) {
    assert.notEqual(mounted(path), undefined, path);
  }
  assert.equal(who("web", accounts, { terminationMessagePath: "/etc/group" }), undefined);
  assert.notEqual(who("web", accounts, { terminationMessagePath: "" }), undefined);
  const spec = { user: "0", supplementalGroups: [], mounts: [], terminationMessagePath: "" };
  assert.equal(containerIdentity(spec, undefined), undefined);
});

test("every user of a well-formed file is found by name, as what its lines say", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  const id = fc.integer({ min: 0, max: 0xffff_ffff });
  const home = fc.stringMatching(/^\/[a-z]{0,5}$/);
  const user = fc.record({ name, uid: id, gid: id, home });
  const users = fc.uniqueArray(user, { selector: (one) => one.name, minLength: 1, maxLength: 8 });
  const membership = fc.record({ name, gid: id, members: fc.array(fc.nat({ max: 7 }), { maxLength: 4 }) });
  const property = fc.property(users, fc.array(membership, { maxLength: 8 }), fc.array(id), (made, wanted, added) => {
    const groups = wanted.map((group) => ({
      ...group,
      members: group.members.map((number) => made[number]?.name).filter((member) => member !== undefined),
    }));
    const passwd = made.map((one) => `${one.name}:x:${one.uid}:${one.gid}:Some One:${one.home}:/bin/sh\n`).join("");
    const group = groups.map((one) => `${one.name}:x:${one.gid}:${one.members.join(",")}\n`).join("");
    for (const one of made) {
      const found = who(one.name, { passwd, group }, { supplementalGroups: added });
      const expected = new Set([one.gid, ...added]);
      for (const { gid, members } of groups) if (members.includes(one.name)) expected.add(gid);
      assert.deepEqual(
        found,
        is(
          one.uid,
          one.gid,
          [...expected].toSorted((a, b) => a - b),
          one.home,
        ),
      );
    }
  });
  fc.assert(property);
});
