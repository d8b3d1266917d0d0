import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { connectGuest, greetGuest } from "./connect.ts";
import type { ContainerSpec, ContainerStarted, GuestConfiguration, GuestVolume } from "./contract.ts";
import type { GuestClient } from "./guest-client.ts";
import { rehearsalImage } from "./rehearsal-image.ts";
import { rehearse } from "./rehearse.ts";
import { looking } from "./testing/looking.ts";
import { Monitor } from "./testing/monitor.ts";
import { runScript } from "./testing/run-container.ts";
import { makeBusyboxDisk } from "./testing/test-disks.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

const timeoutMs = 120_000;
const mebibyte = 1024 * 1024;
let machine: TestMachine;
let fresh: TestMachine;

before(async () => {
  [machine, fresh] = await Promise.all([TestMachine.fork(), TestMachine.fork()]);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
  await fresh?.[Symbol.asyncDispose]();
});

const volumes: readonly GuestVolume[] = [
  { name: "disk", source: { type: "empty", medium: "disk" } },
  { name: "memory", source: { type: "empty", medium: "memory" } },
  {
    name: "files",
    source: { type: "files", files: [{ path: "key", mode: 0o644, content: Buffer.from("value").toString("base64") }] },
  },
];

async function startOn(
  on: TestMachine,
  container: ContainerSpec,
  configuration: GuestConfiguration = testConfiguration,
): Promise<{ readonly client: GuestClient; readonly started: ContainerStarted; readonly output: string }> {
  const line = await greetGuest({ socketPath: on.socketPath, timeoutMs });
  const { client, started } = await line.start({ configuration, volumes, container });
  let output = "";
  for await (const chunk of client.output(container.id, 0)) output += chunk.data.toString();
  return { client, started, output };
}

/** But for the number of its namespace of IPC objects, which each life has of its own. */
function comparable(output: string): string {
  return output.replace(/^ipc:.*$/m, "");
}

/** What `looking` leaves out: the network, and what is in the volumes. */
const more = [
  "ip -4 addr show eth0 | grep inet; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ip route",
  "ip neigh | sed 's/ used.*//'; cat /etc/resolv.conf; ls -A /data /memory /config /dev/shm /dev/mqueue /root",
  "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; df /data /memory | tail -n 2",
].join("; ");

function looker(): ContainerSpec {
  const spec = looking();
  const mounts = [...spec.mounts, { volume: "memory", path: "/memory", isReadOnly: false }];
  return { ...spec, args: ["sh", "-c", `${spec.args.at(-1)}; ${more}`], mounts };
}

/** A whole life of an instance that leaves what it can wherever it can. */
async function liveOn(on: TestMachine, life: number): Promise<GuestClient> {
  const configuration: GuestConfiguration = {
    ...testConfiguration,
    hostname: `life-${life}`,
    hosts: `127.0.0.1 localhost life-${life}\n`,
    resolvConf: `nameserver 10.9.9.${life}\n${"# longer than the next one\n".repeat(9)}`,
    network: {
      macAddress: `02:00:00:00:09:0${life}`,
      address: `10.9.9.${life}`,
      gatewayAddress: life === 1 ? "169.254.1.1" : "169.254.7.7",
      gatewayMacAddress: "02:ff:00:00:00:07",
      mtu: 1400,
    },
    limits: { memoryBytes: 40 * mebibyte, cpuMilli: 500, pids: 20 },
  };
  const places = ["/data", "/memory", "/dev/shm", "/root", "/etc", "/tmp", "/bin"];
  const script = `for d in ${places.join(" ")}; do echo trace > $d/trace; done; mkdir -p /data/a/b/c; ln /bin/busybox /data/a/ || true; echo trace`;
  const container = containerSpec(["sh", "-c", script], {
    env: ["PATH=/bin", "TRACE=trace"],
    limits: { memoryBytes: 32 * mebibyte, cpuMilli: 300, pids: 10 },
    mounts: [
      { volume: "disk", path: "/data", isReadOnly: false },
      { volume: "memory", path: "/memory", isReadOnly: false },
    ],
  });
  const { client, output } = await startOn(on, container, configuration);
  assert.match(output, /trace\n$/);
  assert.equal((await runScript(client, "hostname")).stdout, `life-${life}\n`);
  return client;
}

async function clear(client: GuestClient): Promise<void> {
  for (const { id } of await client.listContainers()) await client.removeContainer(id);
}

test("a VM that is nobody's has nothing to take back", async () => {
  await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  await assert.rejects(client.reset(), { code: "BadRequest", message: /not configured/ });
});

test("an instance is not taken back while it has a container", async () => {
  await using client = await liveOn(machine, 1);
  await assert.rejects(client.reset(), { code: "BadRequest", message: /there is a container "c\d+" still/ });
  assert.equal((await client.info()).isConfigured, true);
  await clear(client);
  await client.reset();
  assert.equal((await client.info()).isConfigured, false);
  await assert.rejects(client.startContainer(containerSpec(["true"])), { code: "BadRequest" });
  await assert.rejects(client.putVolumes(volumes), { code: "BadRequest" });
  await assert.rejects(client.reset(), { code: "BadRequest" });
});

test("after two lives that were taken back a third one is in everything as a first one", async () => {
  {
    await using client = await liveOn(machine, 2);
    await clear(client);
    await client.reset();
  }
  const { stdout: left } = await runCommand("debugfs", ["-R", "ls -p /pod", join(machine.directory, "scratch.ext4")]);
  assert.deepEqual(left.match(/(?<=\/)[^/]+(?=\/\d*\/$)/gm), [".", "..", "c0"], left);
  const spec = looker();
  const [third, first] = await Promise.all([startOn(machine, spec), startOn(fresh, spec)]);
  try {
    assert.equal(comparable(third.output), comparable(first.output));
    assert.doesNotMatch(third.output, /trace|life-/);
    for (const { client, output } of [third, first]) {
      assert.match(output, /inet 10\.0\.0\.42\/32[^]*02:00:00:00:00:2a\n1450\ndefault via 169\.254\.1\.1 dev eth0/);
      const state = await client.waitContainer(spec.id);
      assert.deepEqual([state.exit?.exitCode, state.exit?.terminationMessage], [0, "said\n"]);
      assert.equal(state.outputBytes, Buffer.byteLength(output));
      assert.deepEqual(
        (await client.listContainers()).map(({ id }) => id),
        [spec.id],
      );
      await clear(client);
    }
    const space = await Promise.all([third, first].map(async ({ client }) => await client.stats()));
    assert.deepEqual(space[0], space[1]);
    // What is made when it is asked for goes the same way.
    const later = looker();
    const ran = await Promise.all(
      [third, first].map(async ({ client }) => comparable((await runScript(client, later.args[2] ?? "")).stdout)),
    );
    assert.equal(ran[0], ran[1]);
    await assert.rejects(third.client.configure(testConfiguration), { code: "AlreadyExists" });
  } finally {
    await third.client[Symbol.asyncDispose]();
    await first.client[Symbol.asyncDispose]();
  }
});

test("limits of a life before are not in force, and those of the next one are", async () => {
  {
    await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    await clear(client);
    await client.reset();
  }
  {
    const script = "for i in $(seq 30); do sleep 1000 & done; head -c 50000000 /dev/zero > /dev/shm/x && echo fits";
    const { client, output } = await startOn(machine, containerSpec(["sh", "-c", `${script}; kill $(jobs -p)`]), {
      ...testConfiguration,
      limits: {},
    });
    assert.equal(output, "fits\n");
    await clear(client);
    await client.reset();
    await client[Symbol.asyncDispose]();
  }
  const { client } = await startOn(machine, containerSpec(["tail", "/dev/zero"]), {
    ...testConfiguration,
    limits: { memoryBytes: 24 * mebibyte, pids: 20 },
  });
  const [state] = await client.listContainers();
  assert.equal((await client.waitContainer(state?.id ?? "")).exit?.isOomKilled, true);
  await client[Symbol.asyncDispose]();
});

test("an instance that ran nothing is taken back too, and the image that is then behind the disk is read", async () => {
  await using directory = await temporaryDirectory();
  const other = join(directory.path, "other.erofs");
  await makeBusyboxDisk(other, directory.path, "from another image\n");
  await using client = await connectGuest({ socketPath: fresh.socketPath, timeoutMs });
  assert.equal((await runScript(client, "cat /etc/image")).stdout, "from the image\n");
  await client.reset();
  await client.configure(testConfiguration);
  await client.reset();
  await client[Symbol.asyncDispose]();
  await fresh.putImage(await readFile(other));
  const started = await startOn(fresh, containerSpec(["cat", "/etc/image"]));
  assert.equal(started.output, "from another image\n");
  await started.client[Symbol.asyncDispose]();
});

test("a fork that rehearsed is in everything as one that did not, and starts the image that came in between", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "image.erofs");
  await makeBusyboxDisk(path, directory.path);
  const image = await readFile(path);
  await using rehearsed = await TestMachine.fork({ image: rehearsalImage() });
  await using other = await TestMachine.fork();
  const { network } = testConfiguration;
  for (let turn = 0; turn < 2; turn++) await rehearse({ socketPath: rehearsed.socketPath, timeoutMs, network });
  await rehearsed.putImage(image);
  const spec = looker();
  const [one, two] = await Promise.all([startOn(rehearsed, spec), startOn(other, spec)]);
  assert.equal(comparable(one.output), comparable(two.output));
  assert.match(one.output, /pod-1\n/);
  assert.doesNotMatch(one.output, /rehears/);
  await one.client[Symbol.asyncDispose]();
  await two.client[Symbol.asyncDispose]();
});

test("a start after a rehearsal has next to nothing translated", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "image.erofs");
  await makeBusyboxDisk(path, directory.path);
  await using rehearsed = await TestMachine.fork({ image: rehearsalImage() });
  await using other = await TestMachine.fork();
  const { network } = testConfiguration;
  await rehearse({ socketPath: rehearsed.socketPath, timeoutMs, network });
  await rehearsed.putImage(await readFile(path));
  const counts: number[] = [];
  for (const on of [rehearsed, other]) {
    await using monitor = await Monitor.open(join(on.directory, "qmp.sock"));
    const before = await translatedBlocks(monitor);
    const { client } = await startOn(on, containerSpec(["echo", "hello"]));
    counts.push((await translatedBlocks(monitor)) - before);
    await client[Symbol.asyncDispose]();
  }
  const [few = 0, many = 0] = counts;
  // To the end of the output, over HTTP/2; measured: an eleventh, of which busybox itself is half.
  assert.ok(few > 0 && few * 4 < many, `${few} blocks of ${many}`);
});

async function translatedBlocks(monitor: Monitor): Promise<number> {
  const answer = await monitor.execute("human-monitor-command", { "command-line": "info jit" });
  return Number(/TB count\s+(\d+)/.exec(answer)?.[1]);
}

test("a rehearsal that cannot be is told", async () => {
  const aborted = AbortSignal.abort(new Error("enough"));
  const { network } = testConfiguration;
  const options = { socketPath: fresh.socketPath, timeoutMs, network };
  await assert.rejects(rehearse(options), { code: "AlreadyExists" });
  await assert.rejects(rehearse({ ...options, signal: aborted }), /enough/);
  await assert.rejects(rehearse({ ...options, socketPath: join(fresh.directory, "none"), timeoutMs: 100 }), {
    code: "TimedOut",
  });
});
