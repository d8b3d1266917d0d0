import assert from "node:assert/strict";
import { test } from "node:test";
import { isDns1123Label } from "@isopod/api";
import { CliError } from "./cli-error.ts";
import { podManifest, type RunOptions } from "./pod-manifest.ts";

const manifest = (options: RunOptions = {}, args: readonly string[] = []) =>
  podManifest("default", "registry.example:5000/team/Web_App:1.2", args, options);

test("a name is made from the image when none is given, and is a valid one", () => {
  const first = manifest().metadata.name;
  assert.match(first, /^web-app-[a-z0-9]{5}$/);
  assert.ok(isDns1123Label(first));
  assert.notEqual(first, manifest().metadata.name);
});

test("flags become the fields that Kubernetes has for them", () => {
  const pod = manifest(
    {
      name: "web",
      cpu: "0.5",
      memory: "256Mi",
      env: ["COLOR=green", "EMPTY="],
      label: ["app=web"],
      restart: "on-failure",
      vpc: "blue",
      workdir: "/srv",
      user: "1000:1001",
      interactive: true,
      tty: true,
      pull: "missing",
    },
    ["sh", "-c", "true"],
  );
  assert.deepEqual(pod.metadata.labels, { run: "web", app: "web" });
  assert.deepEqual(pod.metadata.annotations, { "isopod.dev/vpc": "blue" });
  assert.equal(pod.spec.restartPolicy, "OnFailure");
  assert.deepEqual(pod.spec.containers[0], {
    name: "main",
    image: "registry.example:5000/team/Web_App:1.2",
    args: ["sh", "-c", "true"],
    env: [
      { name: "COLOR", value: "green" },
      { name: "EMPTY", value: "" },
    ],
    workingDir: "/srv",
    imagePullPolicy: "IfNotPresent",
    resources: { limits: { cpu: "0.5", memory: "256Mi" } },
    stdin: true,
    stdinOnce: true,
    tty: true,
    securityContext: { runAsUser: 1000, runAsGroup: 1001 },
  });
});

test("the default is a run to the end: never restarted", () => {
  assert.equal(manifest().spec.restartPolicy, "Never");
});

test("a bare variable name takes this shell's value, as with Docker", () => {
  process.env["ISOPOD_TEST_COLOR"] = "blue";
  try {
    const pod = manifest({ env: ["ISOPOD_TEST_COLOR"] });
    assert.deepEqual(pod.spec.containers[0]?.env, [{ name: "ISOPOD_TEST_COLOR", value: "blue" }]);
  } finally {
    delete process.env["ISOPOD_TEST_COLOR"];
  }
});

test("what cannot be meant is refused, naming the flag and the remedy", () => {
  const bad: readonly (readonly [RunOptions, RegExp])[] = [
    [{ env: ["=x"] }, /--env/],
    [{ label: ["plain"] }, /--label/],
    [{ restart: "sometimes" }, /--restart sometimes/],
    [{ pull: "maybe" }, /--pull maybe/],
    [{ user: "root" }, /--user root/],
  ];
  for (const [options, pattern] of bad) {
    assert.throws(
      () => manifest(options),
      (error) => error instanceof CliError && pattern.test(error.message) && error.remedy !== undefined,
    );
  }
});

test("dollars reach the command as they were typed", () => {
  const pod = manifest({ env: ["A=$(B)"] }, ["sh", "-c", "kill $$; echo $(date) $HOME $$(x)"]);
  const [container] = pod.spec.containers;
  assert.deepEqual(container?.args, ["sh", "-c", "kill $$$; echo $$(date) $HOME $$$$(x)"]);
  assert.deepEqual(container?.env, [{ name: "A", value: "$$(B)" }]);
});
