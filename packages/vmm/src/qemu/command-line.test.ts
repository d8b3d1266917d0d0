import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MachineDisk, MachineSpec } from "../contract.ts";
import { monitorCommand } from "./command-line.ts";

const image: MachineDisk = {
  type: "parts",
  serial: "image",
  parts: [
    { path: "/blobs/a", sizeBytes: 4096 },
    { path: "/blobs/b", sizeBytes: 8192 },
  ],
};
const scratch: MachineDisk = {
  type: "qcow2",
  serial: "scratch",
  path: "/scratch.qcow2",
  backingPath: "/template",
  sizeBytes: 1 << 30,
};
const data: MachineDisk = { type: "qcow2", serial: "data", path: "/data.qcow2", sizeBytes: 1 << 20 };
const spec: MachineSpec = {
  id: "m",
  directory: "/machines/m",
  vcpus: 1,
  memoryMiB: 256,
  limits: { cpuMilli: 250, memoryMiB: 512, pids: 64 },
  userId: 7,
  disks: [image, scratch, data],
  network: { namespacePath: "/run/netns/v", tapName: "tap0", macAddress: "02:00:00:00:00:01" },
};

const commandOf = (more: Partial<MachineSpec> = {}, commandLine = "console=ttyS0") =>
  monitorCommand({ ...spec, ...more }, "tcg", commandLine, {
    type: "kernel",
    kernelPath: "/kernel",
    initramfsPath: "/initramfs",
  });
const forked = () =>
  monitorCommand(spec, "tcg", "", {
    type: "saved",
    memory: { path: "/proc/1/fd/20", isShared: false },
    statePath: "/templates/t/state",
    scratchBacking: [
      { format: "qcow2", path: "/templates/t/scratch" },
      { format: "raw", path: "/template" },
    ],
  });
const busOf = (args: readonly string[], device: string) =>
  /bus=virtio-mmio-bus\.(\d)/.exec(args.find((one) => one.startsWith(device)) ?? "")?.[1];

describe("the monitor's command line", () => {
  it("keeps each device in its slot, whichever others there are", () => {
    const { arguments: all } = commandOf();
    assert.equal(busOf(all, "virtio-serial-device"), "0");
    assert.equal(busOf(all, "virtio-net-device"), "1");
    assert.equal(busOf(all, "virtio-blk-device,drive=disk0"), "2");
    assert.equal(busOf(all, "virtio-blk-device,drive=disk1"), "3");
    assert.equal(busOf(all, "virtio-scsi-device"), "4");
    const { network: _, ...offline } = spec;
    const origin = { type: "kernel", kernelPath: "/kernel", initramfsPath: undefined } as const;
    const few = monitorCommand({ ...offline, disks: [image] }, "tcg", "", origin).arguments;
    assert.equal(busOf(few, "virtio-net-device"), undefined);
    assert.equal(busOf(few, "virtio-blk-device,drive=disk0"), "2");
  });

  it("has the library for a template's memory in forks only", () => {
    assert.deepEqual(commandOf().environment, { LC_ALL: "C" });
  });

  it("puts all disks in one group that is throttled, where there is a limit, and none in its way where there is not", () => {
    const plain = commandOf().arguments;
    assert.ok(!plain.some((one) => one.includes("throttle")));
    const limits = { ...spec.limits, io: { readBytesPerSecond: 1_000_000, writeIops: 50 } };
    const { arguments: args } = commandOf({ limits });
    const group = JSON.parse(args.find((one) => one.includes('throttle-group",')) ?? "{}");
    assert.deepEqual(group.limits, { "bps-read": 1_000_000, "iops-write": 50 });
    const nodes = args.filter((one) => one.startsWith("{") && one.includes("node-name")).map((one) => JSON.parse(one));
    assert.deepEqual(
      nodes.map((one) => [one.driver, one["throttle-group"], one["node-name"]]),
      [0, 1, 2].map((index) => ["throttle", group.id, `disk${index}`]),
    );
  });

  it("names no file of the host: all of them cross as descriptors", () => {
    const command = commandOf();
    for (const path of ["/blobs", "/scratch", "/template", "/data", "/machines", "/run/netns"]) {
      assert.ok(!command.arguments.some((one) => one.includes(path)), path);
    }
    const files = command.descriptors.filter((one) => one.type === "file");
    assert.deepEqual(
      files.map((one) => [one.path, one.isWritable]),
      [
        ["/blobs/a", false],
        ["/blobs/b", false],
        ["/scratch.qcow2", true],
        ["/template", false],
        ["/data.qcow2", true],
      ],
    );
    const numbers = command.descriptors.map((one) => one.number);
    assert.equal(new Set(numbers).size, numbers.length);
  });

  it("never opens what the header of a disk names, and spares flushes on scratch only", () => {
    const nodes = commandOf()
      .arguments.filter((one) => one.startsWith("{"))
      .map((one) => JSON.parse(one));
    const [, scratchNode, dataNode] = nodes;
    assert.equal(scratchNode.backing.driver, "raw");
    assert.equal(dataNode.backing, null);
    assert.deepEqual([scratchNode.cache["no-flush"], dataNode.cache["no-flush"]], [true, false]);
  });

  it("maps a template's memory privately and lays its scratch disk below the machine's own", () => {
    const { arguments: args, descriptors } = forked();
    assert.ok(args.some((one) => one.startsWith("memory-backend-file") && one.endsWith("share=off")));
    assert.ok(!args.includes("-kernel"));
    const library = descriptors.find((one) => one.type === "template-memory");
    assert.deepEqual(forked().environment, { LC_ALL: "C", LD_PRELOAD: `/fd/${library?.number}` });
    const scratchNode = JSON.parse(args.find((one) => one.includes('"disk1"')) ?? "");
    assert.deepEqual([scratchNode.backing.driver, scratchNode.backing.backing.driver], ["qcow2", "raw"]);
    const opened = descriptors.filter((one) => one.type === "file" && !one.isWritable);
    for (const path of ["/proc/1/fd/20", "/templates/t/state", "/templates/t/scratch", "/template"]) {
      assert.ok(
        opened.some((one) => one.type === "file" && one.path === path),
        path,
      );
    }
  });

  it("has the old timers only for a kernel that needs them", () => {
    const boardOf = (args: readonly string[]) => args[args.indexOf("-M") + 1] ?? "";
    assert.match(boardOf(commandOf().arguments), /pit=on,pic=on/);
    assert.match(boardOf(commandOf({}, "quiet lapic_timer_khz=1000000").arguments), /pit=off,pic=off/);
  });

  it("denies the monitor new programs, privileges and resources", () => {
    const { arguments: args } = commandOf();
    const sandbox = args[args.indexOf("-sandbox") + 1];
    assert.equal(sandbox, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  });
});
