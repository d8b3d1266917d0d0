import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";

const isopod = resolve(import.meta.dirname, "../../../bin/isopod");

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real command, with no installation but the one the arguments or the environment name. */
async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return await new Promise((done) => {
    const { ISOPOD_DATA_DIR: _directory, KUBECONFIG: _kubeconfig, ...rest } = process.env;
    execFile(isopod, [...args], { env: { ...rest, ...env } }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test("help names every command and ends well", async () => {
  const { code, stdout } = await run(["--help"]);
  assert.equal(code, 0);
  for (const name of [
    "up",
    "down",
    "run",
    "ps",
    "logs",
    "exec",
    "rm",
    "pause",
    "resume",
    "snapshot",
    "clone",
    "images",
    "image",
    "template",
    "price",
    "bill",
    "version",
  ]) {
    assert.match(stdout, new RegExp(`^  ${name}\\b`, "m"));
  }
});

test("an unknown option or command is refused with status 2", async () => {
  const option = await run(["ps", "--colour"]);
  assert.equal(option.code, 2);
  assert.match(option.stderr, /unknown option '--colour'/);
  const command = await run(["launch"]);
  assert.equal(command.code, 2);
});

test("without a service the error says where it looked and how to start one", async () => {
  await using directory = await temporaryDirectory();
  const { code, stderr } = await run(["ps", "--data-dir", directory.path]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`no kubeconfig at ${directory.path}/kubeconfig`));
  assert.match(stderr, /isopod up -d/);
});

test("a service that is gone is told apart from one that was never there", async () => {
  await using directory = await temporaryDirectory();
  const kubeconfig = {
    "current-context": "x",
    contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
    clusters: [{ name: "x", cluster: { server: "https://127.0.0.1:1", "certificate-authority-data": "" } }],
    users: [{ name: "x", user: { token: "t" } }],
  };
  kubeconfig.clusters[0] = {
    name: "x",
    cluster: { server: "https://127.0.0.1:1", "certificate-authority-data": Buffer.from("none").toString("base64") },
  };
  await writeFile(join(directory.path, "kubeconfig"), JSON.stringify(kubeconfig));
  const { code, stderr } = await run(["ps", "--data-dir", directory.path]);
  assert.equal(code, 1);
  assert.match(stderr, /nothing listens at https:\/\/127\.0\.0\.1:1/);
  assert.match(stderr, /isopod up/);
});

test("a kubeconfig without a context names what is missing", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "config");
  await writeFile(path, "{}");
  const { code, stderr } = await run(["ps"], { KUBECONFIG: path });
  assert.equal(code, 1);
  assert.match(stderr, /names no current context/);
});

test("down without a service is no error", async () => {
  await using directory = await temporaryDirectory();
  const { code, stderr } = await run(["down", "--data-dir", directory.path]);
  assert.equal(code, 0);
  assert.match(stderr, /no service runs/);
});

test("a ready file of a process that is somebody else's does not count as a service", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(directory.path, { recursive: true });
  await writeFile(join(directory.path, "ready.json"), JSON.stringify({ url: "https://127.0.0.1:1", pid: process.pid }));
  const { stderr } = await run(["down", "--data-dir", directory.path]);
  assert.match(stderr, /no service runs/);
});

test("up refuses settings it cannot use, naming the flag", async () => {
  await using directory = await temporaryDirectory();
  const bad = [
    ["--port", "70000"],
    ["--kubelet-port", "x"],
    ["--cpu-overcommit", "0"],
    ["--max-pods", "1.5"],
    ["--node-name", "Not_A_Name"],
  ] as const;
  for (const [flag, value] of bad) {
    const { code, stderr } = await run(["up", "--data-dir", directory.path, flag, value]);
    assert.equal(code, 1, flag);
    assert.match(stderr, new RegExp(`setting ${flag} is not usable`), flag);
  }
});

test("version tells ours even when no service runs", async () => {
  await using directory = await temporaryDirectory();
  const { code, stdout } = await run(["version", "--output", "json", "--data-dir", directory.path]);
  assert.equal(code, 0);
  assert.match((JSON.parse(stdout) as { client: string }).client, /^\d+\.\d+\.\d+$/);
});

test("up refuses a data directory too long for sockets before it writes anything", async () => {
  const { code, stderr } = await run(["up", "--data-dir", `/tmp/${"d".repeat(60)}`]);
  assert.equal(code, 1);
  assert.match(stderr, /setting --data-dir is not usable/);
});
