import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { repositoryRoot } from "../harness/leftovers.ts";
import { type Outcome, runProgram } from "../harness/program.ts";

const isopod = join(repositoryRoot, "bin/isopod");

describe("isopod up that cannot start says why and what to do", { concurrency: 2 }, () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let taken: Server;
  let port = 0;
  before(async () => {
    directory = await temporaryDirectory("isopod-e2e-");
    taken = createServer();
    taken.listen(0, "127.0.0.1");
    await once(taken, "listening");
    port = (taken.address() as AddressInfo).port;
  });
  after(async () => {
    taken.close();
    await directory[Symbol.asyncDispose]();
  });

  const up = async (name: string, args: readonly string[]): Promise<Outcome> => {
    const dataDirectory = join(directory.path, name);
    return await runProgram(isopod, ["up", "--accelerator", "tcg", ...args], {
      env: { ...process.env, KUBECONFIG: "", ISOPOD_DATA_DIR: dataDirectory },
    });
  };

  test("when the API's port is taken, also in the background", async () => {
    for (const flags of [[], ["-d"]]) {
      const { exitCode, stderr } = await up("port", [...flags, "--port", String(port), "--kubelet-port", "0"]);
      assert.equal(exitCode, 1);
      assert.match(stderr, new RegExp(`${port}.*in use`));
      assert.match(stderr, /--port/);
    }
  });

  test("when the node agent's port is taken", async () => {
    const { exitCode, stderr } = await up("kubelet", ["--port", "0", "--kubelet-port", String(port)]);
    assert.equal(exitCode, 1);
    assert.match(stderr, new RegExp(`node agent's port ${port} is already in use`));
    assert.match(stderr, /--kubelet-port/);
  });

  test("when it is not run as root", async () => {
    // A user namespace without mappings: nobody in there, who may still read wherever the repository is.
    const args = ["--user", isopod, "up", "--port", "0"];
    const env = { ...process.env, KUBECONFIG: "", ISOPOD_DATA_DIR: join(directory.path, "nobody") };
    const { exitCode, stderr } = await runProgram("unshare", args, { env });
    assert.equal(exitCode, 1);
    assert.match(stderr, /needs root/);
    assert.match(stderr, /sudo/);
    assert.ok(!(await readdir(directory.path)).includes("nobody"), "nothing was written");
  });

  test("when QEMU is missing, naming its Debian package", async () => {
    // In a mount namespace of its own, where the file is none that can be executed.
    const script = 'mount --bind /dev/null "$(readlink -f "$(command -v qemu-system-x86_64)")" && exec "$@"';
    const args = ["--mount", "sh", "-c", script, "sh", isopod, "up", "--port", "0", "--kubelet-port", "0"];
    const env = { ...process.env, KUBECONFIG: "", ISOPOD_DATA_DIR: join(directory.path, "qemu") };
    const { exitCode, stderr } = await runProgram("unshare", args, { env });
    assert.equal(exitCode, 1);
    assert.match(stderr, /qemu-system-x86_64/);
    assert.match(stderr, /apt-get install qemu-system-x86\b/);
  });

  test("when a setting makes no sense", async () => {
    const { exitCode, stderr } = await up("settings", ["--port", "99999"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /--port.*\n.*0 to 65535/);
  });

  test("when the data directory is in use by another service", async () => {
    const env = { ...process.env, KUBECONFIG: "", ISOPOD_DATA_DIR: join(directory.path, "twice") };
    const flags = ["up", "--accelerator", "tcg", "--port", "0", "--kubelet-port", "0"];
    assert.equal((await runProgram(isopod, [...flags, "-d"], { env })).exitCode, 0);
    const second = await runProgram(isopod, flags, { env });
    assert.equal(second.exitCode, 1);
    assert.match(second.stderr, /is up already/);
    assert.match(second.stderr, /isopod down/);
    assert.equal((await runProgram(isopod, ["down"], { env })).exitCode, 0);
  });
});
