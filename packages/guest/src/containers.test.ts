import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectGuest } from "./connect.ts";
import type { GuestClient } from "./guest-client.ts";
import { execSpec, runContainer, runExec, runScript } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

let machine: TestMachine;
let client: GuestClient;

before(async () => {
  machine = await TestMachine.boot({ hasScsiImage: true });
  client = await connectGuest({ socketPath: machine.socketPath, timeoutMs: 120_000 });
  await assert.rejects(client.startContainer(containerSpec(["true"])), { code: "BadRequest" });
  assert.equal((await client.info()).isConfigured, false);
  await client.configure(testConfiguration);
});

after(async () => {
  await client?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

test("the agent knows its machine and is configured once", async () => {
  const info = await client.info();
  assert.equal(info.isConfigured, true);
  assert.equal(info.vcpus, 1);
  assert.ok(info.memoryBytes > 200 * 1024 * 1024 && info.readyMicros >= info.startedMicros);
  await assert.rejects(client.configure(testConfiguration), { code: "AlreadyExists" });
});

test("output, exit code and times of a container come back", async () => {
  const ran = await runScript(client, "echo out; echo err >&2; exit 7");
  assert.deepEqual([ran.stdout, ran.stderr, ran.exitCode], ["out\n", "err\n", 7]);
  const exit = ran.state.exit;
  assert.ok(exit !== undefined && exit.finishedMicros >= exit.startedMicros);
  assert.ok(exit.startedMicros >= testConfiguration.epochMicros);
  assert.deepEqual([exit.signal, exit.isOomKilled], [0, false]);
  assert.ok(Object.keys(ran.started.stageMicros).includes("exec"));
});

test("an image on a SCSI disk is found by its serial number too", async () => {
  const ran = await runScript(client, "cat /etc/image", { imageDiskSerial: "scsi-image" });
  assert.equal(ran.stdout, "from the image\n");
});

test("commands that are not there and cannot be executed are told apart", async () => {
  await assert.rejects(runContainer(client, ["nonsense"]), { code: "CommandNotFound" });
  await assert.rejects(runContainer(client, ["/bin/nonsense"]), { code: "CommandNotFound" });
  await assert.rejects(runContainer(client, ["not-executable"]), { code: "CommandNotExecutable" });
  await assert.rejects(runContainer(client, ["/bin/bad-format"]), { code: "CommandNotExecutable" });
  await assert.rejects(runContainer(client, ["/etc"]), { code: "CommandNotExecutable" });
  assert.deepEqual(await client.listContainers(), []);
});

test("what a spec gets wrong is refused and leaves nothing behind", async () => {
  await assert.rejects(runScript(client, "true", { imageDiskSerial: "absent" }), { code: "DiskNotFound" });
  await assert.rejects(runScript(client, "true", { user: "nobody-here" }), { code: "UserNotFound" });
  await assert.rejects(runScript(client, "true", { capabilities: ["CAP_CHOWN"] }), { code: "BadRequest" });
  await assert.rejects(runScript(client, "true", { id: "../x" }), { code: "BadRequest" });
  const mounts = [{ volume: "absent", path: "/v", isReadOnly: false }];
  await assert.rejects(runScript(client, "true", { mounts }), { code: "NotFound" });
  await assert.rejects(client.waitContainer("absent"), { code: "NotFound" });
  assert.deepEqual(await client.listContainers(), []);
  assert.equal((await runScript(client, "ls /sys/fs/cgroup")).exitCode, 0);
});

test("an id is taken while its container is there", async () => {
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  await assert.rejects(client.startContainer(spec), { code: "AlreadyExists" });
  await Promise.all([client.removeContainer(spec.id), client.removeContainer(spec.id)]);
  await assert.rejects(client.removeContainer(spec.id), { code: "NotFound" });
});

test("users and groups come from the image", async () => {
  const named = await runScript(client, "id -u; id -g; id -G; echo $HOME; touch /bin/x || echo refused", {
    user: "web",
  });
  assert.equal(named.stdout, "33\n34\n34 50\n/srv\nrefused\n");
  const numbered = await runScript(client, "id -u; id -g; id -G", { user: "4242:4343", supplementalGroups: [7] });
  assert.equal(numbered.stdout, "4242\n4343\n4343 7\n");
});

test("a program that is not root can use the devices", async () => {
  const script = "for d in null zero random urandom; do echo x > /dev/$d || echo refused; done; stat -c %a /dev/tty";
  const ran = await runScript(client, script, { user: "web" });
  assert.equal(ran.stdout, "666\n", ran.stderr);
});

test("a program that is not root can open its standard streams again", async () => {
  const ran = await runScript(client, "echo again > /dev/stdout; echo worse > /dev/stderr", { user: "web" });
  assert.deepEqual([ran.stdout, ran.stderr, ran.exitCode], ["again\n", "worse\n", 0]);
});

test("privileges are given up", async () => {
  const status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
  const fields = async (user: string, changes: object): Promise<Map<string, string>> => {
    const { stdout } = await runScript(client, status, { user, ...changes });
    return new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => [line.split(":")[0] ?? "", line.split(/\s+/)[1] ?? ""]),
    );
  };
  const root = await fields("", {});
  assert.equal(root.get("CapEff"), "00000000a80425fb");
  assert.equal(root.get("CapBnd"), "00000000a80425fb");
  assert.equal(root.get("CapInh"), "0000000000000000");
  assert.equal(root.get("Seccomp"), "2");
  assert.equal(root.get("NoNewPrivs"), "0");
  const none = await fields("", { capabilities: [], noNewPrivileges: true, seccomp: "unconfined" });
  assert.equal(none.get("CapEff"), "0000000000000000");
  assert.equal(none.get("CapBnd"), "0000000000000000");
  assert.equal(none.get("NoNewPrivs"), "1");
  assert.equal(none.get("Seccomp"), "0");
  const user = await fields("web", {});
  assert.equal(user.get("CapEff"), "0000000000000000");
  assert.equal(user.get("CapPrm"), "0000000000000000");
});

test("the default profile refuses what Docker's does", async () => {
  const script = "unshare -m true; mount -t tmpfs none /tmp; echo $?; chroot / true; echo $?";
  const ran = await runScript(client, script);
  assert.match(ran.stderr, /unshare.*not permitted/);
  assert.equal(ran.stdout, "1\n0\n");
  const trusted = await runScript(client, "mount -t tmpfs none /tmp && echo mounted", { capabilities: ["SYS_ADMIN"] });
  assert.equal(trusted.stdout, "mounted\n");
});

test("disks cannot be opened even where a node of one may be made", async () => {
  const ran = await runScript(client, "mknod /dev/d b 254 0 && echo made; head -c1 /dev/d; head -c1 /dev/zero | wc -c");
  assert.equal(ran.stdout, "made\n1\n");
  assert.match(ran.stderr, /\/dev\/d: Operation not permitted/);
});

test("kernel files are masked or read-only", async () => {
  const script = [
    "echo 1 > /proc/sys/kernel/hostname",
    "echo b > /proc/sysrq-trigger",
    "mkdir /sys/fs/cgroup/x",
    "echo x > /sys/kernel/uevent_helper",
    "wc -c < /proc/timer_list",
    "ls -A /sys/firmware | wc -l",
  ];
  const ran = await runScript(client, script.join("; "));
  assert.equal(ran.stdout, "0\n0\n");
  assert.equal(ran.stderr.match(/Read-only file system/g)?.length, 3, ran.stderr);
});

test("a read-only root refuses writes but its volumes and shared memory do not", async () => {
  await client.putVolumes([{ name: "scratch", source: { type: "empty", medium: "disk" } }]);
  const ran = await runScript(client, "touch /x || echo refused; touch /data/new/x /dev/shm/x && echo written", {
    isRootReadOnly: true,
    mounts: [{ volume: "scratch", path: "/data/new", isReadOnly: false }],
  });
  assert.equal(ran.stdout, "refused\nwritten\n");
});

test("the pod's files are there, also where the image has a link that leads away", async () => {
  const ran = await runScript(client, "cat /etc/resolv.conf /etc/hostname; tail -n1 /etc/hosts; hostname; ls /srv");
  assert.equal(ran.stdout, "nameserver 10.0.0.2\npod-1\n10.0.0.42 pod-1\npod-1\nelsewhere\n");
});

test("the network is set up", async () => {
  const ran = await runScript(
    client,
    "ip -4 addr show eth0; ip route; ip neigh show nud permanent; cat /sys/class/net/eth0/mtu",
  );
  assert.match(ran.stdout, /inet 10\.0\.0\.42\/32/);
  assert.match(ran.stdout, /default via 169\.254\.1\.1 dev eth0/);
  assert.match(ran.stdout, /169\.254\.1\.1 dev eth0 lladdr 02:ff:00:00:00:01/);
  assert.match(ran.stdout, /^1450$/m);
});

test("a volume of files is seen, read-only, and replaced as one", async () => {
  const put = async (text: string): Promise<void> =>
    await client.putVolumes([
      {
        name: "files",
        source: {
          type: "files",
          gid: 34,
          files: [
            { path: "key", mode: 0o440, content: Buffer.from(text).toString("base64") },
            { path: "deep/key", mode: 0o644, content: Buffer.from(`deep ${text}`).toString("base64") },
          ],
        },
      },
    ]);
  await put("one");
  const spec = containerSpec(["sleep", "1000"], {
    user: "web",
    mounts: [
      { volume: "files", path: "/etc/files", isReadOnly: true },
      { volume: "files", path: "/etc/single", subPath: "deep/key", isReadOnly: true },
    ],
  });
  await client.startContainer(spec);
  const read = execSpec([
    "sh",
    "-c",
    "cat /etc/files/key /etc/files/deep/key /etc/single; echo; touch /etc/files/x 2>&1",
  ]);
  const before = await runExec(client, spec.id, read);
  assert.match(before.output, /^onedeep onedeep one/);
  assert.match(before.output, /Read-only file system/);
  await put("two");
  assert.match((await runExec(client, spec.id, read)).output, /^twodeep two/);
  await client.removeContainer(spec.id);
});

test("a memory volume has its size and is shared by containers", async () => {
  const source = { type: "empty", medium: "memory", sizeLimitBytes: 1024 * 1024 } as const;
  await client.putVolumes([{ name: "memory", source }]);
  const mounts = [{ volume: "memory", path: "/shared", isReadOnly: false }];
  const full = await runScript(
    client,
    "head -c 2000000 /dev/zero > /shared/big || echo full; echo kept > /shared/small",
    {
      mounts,
    },
  );
  assert.match(full.stderr + full.stdout, /No space left/);
  await runScript(client, "rm /shared/big; echo kept > /shared/small", { mounts });
  assert.equal((await runScript(client, "cat /shared/small", { mounts })).stdout, "kept\n");
});

test("a subPath cannot leave its volume", async () => {
  await client.putVolumes([{ name: "links", source: { type: "empty", medium: "disk" } }]);
  const whole = [{ volume: "links", path: "/v", isReadOnly: false }];
  await runScript(client, "ln -s / /v/out; ln -s inside /v/in; mkdir /v/inside; echo here > /v/inside/f", {
    mounts: whole,
  });
  const below = (subPath: string): object => ({
    mounts: [{ volume: "links", path: "/v", subPath, isReadOnly: false }],
  });
  assert.equal((await runScript(client, "cat /v/f", below("in"))).stdout, "here\n");
  for (const path of ["out", "out/scratch", "../volumes", "in/../../x"]) {
    await assert.rejects(runScript(client, "true", below(path)), { code: "MountFailed" }, path);
  }
  assert.equal((await runScript(client, "touch /v/x && echo made", below("new/dir"))).stdout, "made\n");
});

test("containers of one pod see neither each other's processes, files nor mounts", async () => {
  await client.putVolumes([{ name: "private", source: { type: "empty", medium: "disk" } }]);
  const first = containerSpec(["sh", "-c", "echo mine > /tmp/secret; exec sleep 4321"], {
    mounts: [{ volume: "private", path: "/private", isReadOnly: false }],
  });
  await client.startContainer(first);
  const ran = await runScript(client, "ps; ls /tmp; grep -c private /proc/mounts; ls /; cat /proc/1/cgroup");
  assert.doesNotMatch(ran.stdout, /4321|secret|scratch|disks/);
  assert.match(ran.stdout, /^0$/m);
  assert.match(ran.stdout, /^0::\/$/m);
  assert.equal((await runScript(client, "echo $$")).stdout, "1\n");
  await client.removeContainer(first.id);
});

test("a restarted container has an empty writable layer", async () => {
  await runScript(client, "echo x > /etc/image; rm -r /srv");
  assert.equal((await runScript(client, "cat /etc/image; ls -d /srv")).stdout, "from the image\n/srv\n");
});

test("signals reach the program, and removal kills it", async () => {
  const spec = containerSpec(["sh", "-c", "trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.1; done"]);
  await client.startContainer(spec);
  const chunks = client.output(spec.id, 0)[Symbol.asyncIterator]();
  assert.equal((await chunks.next()).value?.data.toString(), "up\n");
  await client.signalContainer(spec.id, "SIGTERM");
  assert.equal((await chunks.next()).value?.data.toString(), "caught\n");
  assert.equal((await client.waitContainer(spec.id)).exit?.exitCode, 5);
  await assert.rejects(client.signalContainer(spec.id, "SIGTERM"), { code: "NotRunning" });
  await assert.rejects(client.signalContainer(spec.id, "SIGNOPE"), { code: "BadRequest" });
  await client.removeContainer(spec.id);
  const stubborn = containerSpec(["sh", "-c", "trap '' TERM; sleep 1000 & wait"]);
  await client.startContainer(stubborn);
  const waiting = client.waitContainer(stubborn.id);
  await client.removeContainer(stubborn.id);
  assert.deepEqual([(await waiting).exit?.signal, (await waiting).exit?.exitCode], [9, 137]);
});

test("the termination message is what the program left in its file", async () => {
  const path = "/dev/termination-log";
  const ran = await runScript(client, `echo -n why > ${path}`, { terminationMessagePath: path, user: "web" });
  assert.equal(ran.state.exit?.terminationMessage, "why");
  const long = await runScript(client, `head -c 100000 /dev/zero | tr '\\0' x > ${path}`, {
    terminationMessagePath: path,
  });
  assert.equal(long.state.exit?.terminationMessage.length, 4096);
});

test("the working directory is made when the image lacks it, and rlimits hold", async () => {
  const ran = await runScript(client, "pwd; ulimit -n; ulimit -c", {
    workingDirectory: "/new/place",
    rlimits: [{ name: "nofile", soft: 123, hard: 456 }],
  });
  assert.equal(ran.stdout, "/new/place\n123\n0\n");
});

test("a file of the volume kind and a large environment are carried", async () => {
  const big = "x".repeat(100_000);
  const ran = await runScript(client, "echo ${#BIG}", { env: ["PATH=/bin", `BIG=${big}`] });
  assert.equal(ran.stdout, "100000\n");
});
