import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { resources } from "@isopod/api";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import { createPod, deletePod, isReady, logUntil, podUntil, shellPod } from "../harness/pods.ts";

const manifest = (name: string, image: string, more = ""): string => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: ${image}
    command: [sh, -c, "echo one; echo two; sleep 600"]
${more}`;

const limits = (cpu: string, memory: string): string => `    resources: {limits: {cpu: "${cpu}", memory: "${memory}"}}`;

describe("kubectl and what is refused", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const create = async (text: string) => await e2e.kubectl(["create", "-f", "-"], { input: text });

  test("kubectl creates, shows, describes, reads, enters and deletes a pod", async () => {
    const created = await create(manifest("web", e2e.image, limits("0.1", "128Mi")));
    assert.equal(created.stdout, "pod/web created\n", created.stderr);
    const waited = await e2e.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=90s"]);
    assert.equal(waited.exitCode, 0, waited.stderr);
    const pod = await podUntil(e2e, "web", "is ready", isReady);
    await logUntil(e2e, "web", "one\ntwo\n");

    const wide = (await e2e.kubectl(["get", "pods", "-o", "wide"])).stdout;
    assert.match(wide, /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/);
    const ip = (pod.status?.podIP ?? "").replaceAll(".", "\\.");
    assert.match(wide, new RegExp(`^web +1/1 +Running +0 +[\\dms]+ +${ip} +${pod.spec.nodeName}`, "m"));

    const patterns = [
      /^Status: +Running$/m,
      /^ +Container ID: +isopod:\/\//m,
      /^ +Ready +True/m,
      /Normal +Scheduled .*default-scheduler +Successfully assigned default\/web to/,
      /Normal +Pulled .*kubelet .*busybox:1/,
      /Normal +Created .*kubelet .*Created container: main/,
      /Normal +Started .*kubelet .*Started container main/,
    ];
    let described = "";
    await eventually(
      "the pod is described with all its events",
      async () => {
        described = (await e2e.kubectl(["describe", "pod", "web"])).stdout;
        return patterns.every((pattern) => pattern.test(described));
      },
      () => [patterns.filter((pattern) => !pattern.test(described)).map(String), described],
    );

    assert.equal((await e2e.kubectl(["logs", "web", "--tail=1"])).stdout, "two\n");
    const exec = await e2e.kubectl(["exec", "-i", "web", "--", "sh", "-c", "cat; echo err >&2; exit 6"], {
      input: "in\n",
    });
    assert.equal(exec.stdout, "in\n");
    assert.match(exec.stderr, /^err\ncommand terminated with exit code 6/);
    assert.equal(exec.exitCode, 6);

    const deleted = await e2e.kubectl(["delete", "pod", "web", "--grace-period=1", "--timeout=90s"]);
    assert.match(deleted.stdout, /pod "web" deleted/);
    assert.match((await e2e.kubectl(["get", "pod", "web"])).stderr, /pods "web" not found/);
  });

  test("an unknown field is refused by its name", async () => {
    const { exitCode, stderr } = await create(manifest("typo", e2e.image, "    comand: [ls]"));
    assert.equal(exitCode, 1);
    assert.match(stderr, /unknown field "spec\.containers\[0\]\.comand"/);
  });

  test("a quantity that is none is refused by its field", async () => {
    const { exitCode, stderr } = await create(manifest("odd", e2e.image, limits("0.1", "128Megs")));
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /spec\.containers\[0\]\.resources\.limits\.memory: "128Megs": unable to parse quantity's suffix/,
    );
  });

  test("what Isopod does not do yet is refused, not ignored", async () => {
    const { exitCode, stderr } = await create(`${manifest("host", e2e.image)}\n  hostNetwork: true`);
    assert.equal(exitCode, 1);
    assert.match(stderr, /spec\.hostNetwork: Forbidden: not supported by Isopod yet/);
  });

  test("a size beyond the largest is refused, naming the largest", async () => {
    const { exitCode, stderr } = await create(manifest("huge", e2e.image, limits("64", "1Ti")));
    assert.equal(exitCode, 1);
    assert.match(stderr, /Pod "huge" is invalid.*largest instance size is 16 vCPU, 128 GiB/);
    const run = await e2e.isopod(["run", "--rm", "--cpu", "64", e2e.image, "--", "true"]);
    assert.equal(run.exitCode, 125);
    assert.match(run.stderr, /largest instance size is 16 vCPU, 128 GiB/);
  });

  test("a size that is rounded up comes with a warning", async () => {
    const { stderr } = await create(manifest("round", e2e.image, limits("0.3", "300Mi")));
    assert.match(stderr, /^Warning: .*rounded up from 0\.3 vCPU, 300 MiB to 0\.5 vCPU, 512 MiB/);
    await deletePod(e2e, "round");
  });

  test("a pod that fits on no node waits and says why; `isopod run` does not wait", async () => {
    const created = await create(manifest("large", e2e.image, limits("16", "128Gi")));
    assert.equal(created.exitCode, 0, created.stderr);
    const pod = await podUntil(e2e, "large", "is unschedulable", (one) => {
      return one.status?.conditions?.some((condition) => condition.reason === "Unschedulable") === true;
    });
    const condition = pod.status?.conditions?.find((one) => one.type === "PodScheduled");
    assert.match(condition?.message ?? "", /^0\/1 nodes are available: .*Insufficient memory/);
    await eventually("the event is there", async () => {
      const { stdout } = await e2e.kubectl(["get", "events", "--field-selector", "reason=FailedScheduling"]);
      return /Insufficient memory/.test(stdout);
    });
    const run = await e2e.isopod([
      "run",
      "--name",
      "unfit",
      "--cpu",
      "16",
      "--memory",
      "128Gi",
      e2e.image,
      "--",
      "true",
    ]);
    assert.equal(run.exitCode, 125);
    assert.match(run.stderr, /0\/1 nodes are available: .*Insufficient memory/);
    assert.match(run.stderr, /Ask for a smaller size/);
    await deletePod(e2e, "large");
  });

  test("kubectl applies a file, changes labels, and lists with selectors", async () => {
    const path = join(e2e.directory, "pod.yaml");
    await writeFile(path, manifest("labelled", e2e.image, limits("0.1", "128Mi")));
    const applied = await e2e.kubectl(["apply", "-f", path]);
    assert.equal(applied.exitCode, 0, applied.stderr);
    assert.equal((await e2e.kubectl(["label", "pod", "labelled", "tier=front"])).exitCode, 0);
    assert.match((await e2e.kubectl(["get", "pods", "-l", "tier=front", "-o", "name"])).stdout, /^pod\/labelled\n$/);
    assert.match((await e2e.kubectl(["get", "nodes"])).stdout, / Ready /);
    await deletePod(e2e, "labelled");
  });

  test("a deleted namespace takes its pods and their bill along in order", async () => {
    assert.equal((await e2e.kubectl(["create", "namespace", "brief"])).exitCode, 0);
    // As process 1 of its container sleep takes no notice of SIGTERM: its grace is short, so that the test is, too.
    const spec = { terminationGracePeriodSeconds: 1 };
    const pod = shellPod(e2e, "sleep 600", { name: "tenant", metadata: { namespace: "brief" }, spec });
    await createPod(e2e, pod);
    await podUntil(e2e, "tenant", "is ready", isReady, "brief");
    const deleted = await e2e.kubectl(["delete", "namespace", "brief", "--timeout=100s"]);
    assert.equal(deleted.exitCode, 0, deleted.stderr);
    assert.equal((await e2e.client.list(resources.pods, { namespace: "brief" })).items.length, 0);
    const bill = await e2e.isopod(["bill", "-n", "brief", "--output", "json"]);
    assert.match(bill.stdout, /"pod": "tenant"/);
    assert.match(bill.stdout, /"isOpen": false/);
  });
});
