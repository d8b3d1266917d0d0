import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, PodSpec } from "@isopod/api";
import type { ContainerSpec } from "@isopod/guest";
import type { ImageConfig } from "@isopod/image";
import { commandLine, containerPlan, guestVolumes, hostnameOf } from "./container-plan.ts";
import { NodeError, type NodeErrorCode } from "./node-error.ts";
import { containerWith, podWith } from "./testing/pods.ts";
import { sourcesWith } from "./testing/sources.ts";

const image: ImageConfig = {
  env: ["PATH=/bin", "COLOR=red"],
  entrypoint: ["/entry"],
  cmd: ["serve", "--all"],
  user: "",
  workingDir: "",
  stopSignal: "",
  labels: {},
  volumes: [],
};

function plan(
  fields: Partial<Container> = {},
  config: Partial<ImageConfig> = {},
  spec: Partial<PodSpec> = {},
): ContainerSpec {
  const container = containerWith(fields);
  const pod = podWith({ ...spec, containers: [container] });
  return containerPlan(pod, container, { config: { ...image, ...config }, diskSerial: "i-1" }, sourcesWith(), "c0-0");
}

function refuses(code: NodeErrorCode, action: () => unknown): void {
  assert.throws(action, (error) => error instanceof NodeError && error.code === code);
}

test("command replaces the entry point and its arguments, args only the arguments", () => {
  const line = (fields: Partial<Container>, config: Partial<ImageConfig> = {}): readonly string[] =>
    commandLine(containerWith(fields), { ...image, ...config }, new Map([["X", "1"]]));
  assert.deepEqual(line({}), ["/entry", "serve", "--all"]);
  assert.deepEqual(line({ args: ["$(X)", "$(Y)"] }), ["/entry", "1", "$(Y)"]);
  assert.deepEqual(line({ command: ["/own"] }), ["/own"]);
  assert.deepEqual(line({ command: ["/own"], args: ["a"] }), ["/own", "a"]);
  assert.deepEqual(line({}, { entrypoint: [] }), ["serve", "--all"]);
  refuses("NoCommand", () => line({}, { entrypoint: [], cmd: [] }));
});

test("a plan has the image's variables under the pod's, and a host name", () => {
  assert.deepEqual(plan({ env: [{ name: "COLOR", value: "blue" }] }).env, ["PATH=/bin", "COLOR=blue", "HOSTNAME=web"]);
  assert.equal(plan().workingDirectory, "/");
  assert.equal(plan({}, { workingDir: "/srv" }).workingDirectory, "/srv");
  assert.equal(plan({ workingDir: "/own" }, { workingDir: "/srv" }).workingDirectory, "/own");
});

test("the user is the container's, else the pod's, else the image's", () => {
  assert.equal(plan({}, { user: "www" }).user, "www");
  assert.equal(plan({}, { user: "www" }, { securityContext: { runAsUser: 7 } }).user, "7");
  assert.equal(plan({ securityContext: { runAsUser: 9 } }, {}, { securityContext: { runAsUser: 7 } }).user, "9");
  assert.equal(plan({ securityContext: { runAsUser: 9, runAsGroup: 8 } }).user, "9:8");
  assert.equal(plan({ securityContext: { runAsGroup: 8 } }).user, "0:8");
  assert.equal(plan({ securityContext: { runAsGroup: 8 } }, { user: "5:5" }).user, "5:8");
  const groups = plan({}, {}, { securityContext: { supplementalGroups: [3], fsGroup: 4 } }).supplementalGroups;
  assert.deepEqual(groups, [3, 4]);
});

test("with the image's account files a plan says who that is, the pod's groups included", () => {
  const accounts = { passwd: "www:x:33:34::/srv:\n", group: "logs:x:50:www\n" };
  const identity = (fields: Partial<Container>, user: string, spec: Partial<PodSpec> = {}) => {
    const container = containerWith(fields);
    const source = { config: { ...image, user }, accounts, diskSerial: "i-1" };
    return containerPlan(podWith({ ...spec, containers: [container] }), container, source, sourcesWith(), "c0-0")
      .identity;
  };
  assert.deepEqual(identity({}, "www"), { uid: 33, gid: 34, groups: [34, 50], home: "/srv" });
  const shared = { securityContext: { runAsUser: 7, supplementalGroups: [3], fsGroup: 4 } };
  assert.deepEqual(identity({}, "www", shared), { uid: 7, gid: 0, groups: [0, 3, 4], home: "/" });
  const own = { securityContext: { runAsGroup: 50 } };
  assert.deepEqual(identity(own, "www"), { uid: 33, gid: 50, groups: [50], home: "/srv" });
  assert.equal(identity({}, "nobody"), undefined);
  assert.equal(identity({ volumeMounts: [{ name: "v", mountPath: "/etc" }] }, "www"), undefined);
  assert.ok(!("identity" in plan()));
});

test("runAsNonRoot refuses root, and a name that cannot be checked", () => {
  const context = { securityContext: { runAsNonRoot: true } };
  refuses("RunAsNonRoot", () => plan(context));
  refuses("RunAsNonRoot", () => plan(context, { user: "0:0" }));
  refuses("RunAsNonRoot", () => plan(context, { user: "www" }));
  assert.equal(plan(context, { user: "1000" }).user, "1000");
  assert.equal(plan({ securityContext: { runAsNonRoot: true, runAsUser: 5 } }, { user: "root" }).user, "5");
});

test("capabilities are Docker's default set, less what is dropped, plus what is added", () => {
  const of = (add: string[], drop: string[]): readonly string[] =>
    plan({ securityContext: { capabilities: { add, drop } } }).capabilities;
  assert.equal(of([], []).length, 14);
  assert.ok(!of([], []).includes("SYS_ADMIN"));
  assert.deepEqual(of(["NET_ADMIN"], ["ALL"]), ["NET_ADMIN"]);
  assert.ok(!of([], ["CAP_CHOWN"]).includes("CHOWN"));
  const all = of(["ALL"], ["SYS_TIME"]);
  assert.ok(all.includes("SYS_ADMIN") && !all.includes("SYS_TIME"));
});

test("limits, mounts and flags cross over as plain data", () => {
  const made = plan({
    resources: { limits: { cpu: "500m", memory: "64Mi" } },
    tty: true,
    stdin: true,
    env: [{ name: "SUB", value: "deep" }],
    volumeMounts: [
      { name: "data", mountPath: "/data", readOnly: true },
      { name: "data", mountPath: "/sub", subPathExpr: "$(SUB)/x" },
    ],
    securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
  });
  assert.deepEqual(made.limits, { memoryBytes: 64 * 1024 * 1024, cpuMilli: 500 });
  assert.deepEqual(made.mounts, [
    { volume: "data", path: "/data", isReadOnly: true },
    { volume: "data", path: "/sub", isReadOnly: false, subPath: "deep/x" },
  ]);
  assert.ok(made.isTerminal && made.hasStdin && !made.isStdinOnce && made.isRootReadOnly && made.noNewPrivileges);
  assert.equal(made.seccomp, "default");
  assert.equal(made.terminationMessagePath, "/dev/termination-log");
});

test("volumes bring the files of config maps and secrets, or name what is missing", () => {
  const sources = sourcesWith({ cm: { "a.txt": "A", "b.txt": "B" } }, { s: { key: "secret" } });
  const volumes = guestVolumes(
    podWith({
      securityContext: { fsGroup: 12 },
      volumes: [
        { name: "empty", emptyDir: { sizeLimit: "16Mi" } },
        { name: "memory", emptyDir: { medium: "Memory" } },
        { name: "all", configMap: { name: "cm", defaultMode: 0o400 } },
        { name: "one", configMap: { name: "cm", items: [{ key: "b.txt", path: "d/b", mode: 0o600 }] } },
        { name: "secret", secret: { secretName: "s" } },
        { name: "none", secret: { secretName: "gone", optional: true } },
      ],
    }),
    sources,
  );
  const file = (path: string, text: string, mode: number) => ({
    path,
    mode,
    content: Buffer.from(text).toString("base64"),
  });
  assert.deepEqual(volumes, [
    { name: "empty", source: { type: "empty", medium: "disk", sizeLimitBytes: 16 * 1024 * 1024 } },
    { name: "memory", source: { type: "empty", medium: "memory" } },
    { name: "all", source: { type: "files", files: [file("a.txt", "A", 0o400), file("b.txt", "B", 0o400)], gid: 12 } },
    { name: "one", source: { type: "files", files: [file("d/b", "B", 0o600)], gid: 12 } },
    { name: "secret", source: { type: "files", files: [file("key", "secret", 0o644)], gid: 12 } },
    { name: "none", source: { type: "files", files: [], gid: 12 } },
  ]);
  const missing = (volume: NonNullable<PodSpec["volumes"]>[number]): void =>
    refuses("CreateContainerConfigError", () => guestVolumes(podWith({ volumes: [volume] }), sources));
  missing({ name: "v", configMap: { name: "gone" } });
  missing({ name: "v", secret: { secretName: "gone" } });
  missing({ name: "v", configMap: { name: "cm", items: [{ key: "c.txt", path: "c" }] } });
});

test("a host name is at most 63 characters and ends with none that it may not end with", () => {
  assert.equal(hostnameOf(podWith({ hostname: "own" })), "own");
  const long = `${"a".repeat(62)}-${"b".repeat(20)}`;
  assert.equal(hostnameOf(podWith({}, { name: long })), "a".repeat(62));
});
