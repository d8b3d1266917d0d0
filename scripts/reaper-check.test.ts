import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandOutput, runCommand, temporaryDirectory } from "@isopod/base";

/**
 * Runs a shell script in namespaces of its own, where nothing of this host's Isopod is to be seen and nothing made
 * outlives the script. `$check` is the script under test, `$data` a data directory, `$TMPDIR` an empty directory.
 */
async function inEmptyHost(script: string): Promise<CommandOutput> {
  await using directory = await temporaryDirectory("reaper-");
  for (const name of ["data", "tmp"]) await mkdir(join(directory.path, name));
  const prepared = `set -e
    mkdir -p /run/netns
    mount -t tmpfs none /run/netns
    mount -t tmpfs none /sys/fs/cgroup
    ${script}`;
  return await runCommand(
    "unshare",
    ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", prepared],
    {
      env: {
        check: join(import.meta.dirname, "reaper-check"),
        data: join(directory.path, "data"),
        TMPDIR: join(directory.path, "tmp"),
      },
    },
  );
}

test("a host without Isopod has nothing left", async () => {
  const { stdout } = await inEmptyHost(`ip netns add somebody-elses; sleep 60 & "$check" --data-dir "$data"`);
  assert.equal(stdout, "nothing left\n");
});

const leftovers: Readonly<Record<string, readonly [string, RegExp]>> = {
  "a VM": [
    `bash -c 'exec -a /usr/bin/qemu-system-x86_64 tail -f /dev/null "$data/isopod.agent" &>/dev/null' &
     until grep -qa ^/usr/bin/qemu /proc/$!/cmdline; do sleep 0.1; done`,
    /^process \d+: \/usr\/bin\/qemu-system-x86_64 /m,
  ],
  "a process of an instance's user": [
    `setpriv --reuid 2000007 --clear-groups sleep 60 & until grep -q 'Uid:.2000007' /proc/$!/status && grep -qa ^sleep /proc/$!/cmdline; do sleep 0.1; done`,
    /^process \d+ of user 2000007: sleep 60/m,
  ],
  "a VPC's namespace": [
    `ip netns add isopod-ab12cd-blue-0123456789`,
    /^network-namespace isopod-ab12cd-blue-0123456789$/m,
  ],
  "the host's end of a way out": [`ip link add isn0123456789ab type veth peer name other`, /^link isn0123456789ab$/m],
  "a stray tap": [`ip tuntap add dev tap0123456789ab mode tap`, /^link tap0123456789ab$/m],
  "an nft table": [`nft add table inet isopod_ab12cd`, /^nft-table inet isopod_ab12cd$/m],
  "a mount in the data directory": [
    `mkdir "$data/a mount"; mount -t tmpfs none "$data/a mount"`,
    /^mount .*\/data\/a mount$/m,
  ],
  "a control group": [
    `mkdir -p /sys/fs/cgroup/pids/isopod/some-pod/inner`,
    /^control-group \/sys\/fs\/cgroup\/pids\/isopod\/some-pod$/m,
  ],
  "a temporary directory": [`mkdir "$TMPDIR/isopod-x"`, /^temporary .*\/tmp\/isopod-x$/m],
  "an open socket": [
    `python3 -c "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('$data/isopod.sock'); time.sleep(60)" & until [ -S "$data/isopod.sock" ]; do sleep 0.1; done`,
    /^socket .*\/data\/isopod\.sock$/m,
  ],
};

for (const [what, [make, line]] of Object.entries(leftovers)) {
  test(`${what} left behind is listed, unless it was there before`, async () => {
    const { stdout } = await inEmptyHost(`
      "$check" --before "$data/before" --data-dir "$data"
      ${make}
      if "$check" --data-dir "$data"; then echo "ended with 0"; fi
      "$check" --since "$data/before" --data-dir "$data" >/dev/null && echo "ended with 0"
      "$check" --before "$data/after" --data-dir "$data"
      "$check" --since "$data/after" --data-dir "$data"`);
    assert.match(stdout, line);
    assert.doesNotMatch(stdout, /ended with 0/);
    assert.match(stdout, /nothing left\n$/);
    assert.equal(stdout.trim().split("\n").length, 2, stdout);
  });
}

test("an unknown option is explained", async () => {
  await assert.rejects(runCommand(join(import.meta.dirname, "reaper-check"), ["--nonsense"]), /--since FILE/);
});
