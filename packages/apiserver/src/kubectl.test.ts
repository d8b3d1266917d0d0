import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createBoundPod, type FakeKubelet, registerNode, startFakeKubelet } from "./testing/fake-kubelet.ts";
import { Kubectl, kubectlVersions, oldestKubectlVersion } from "./testing/kubectl.ts";
import { podNamed, startTestServer, type TestServer } from "./testing/test-server.ts";

const podYaml = (name: string, image = "busybox") => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: {app: web}
spec:
  containers:
  - name: main
    image: ${image}
    env:
    - {name: A, value: "1"}
  - name: side
    image: side:1
`;

for (const version of kubectlVersions) {
  describe(`kubectl ${version}`, () => {
    let test: TestServer;
    let kubelet: FakeKubelet;
    let kubectl: Kubectl;
    before(async () => {
      test = await startTestServer();
      kubelet = await startFakeKubelet(test.certificates, "node-1");
      await registerNode(test, "node-1", kubelet.port);
      kubectl = await Kubectl.open(version, test);
    });
    after(async () => {
      await kubelet[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    });
    const jsonPath = async (what: string, path: string) =>
      await kubectl.run(["get", ...what.split(" "), "-o", `jsonpath={${path}}`]);

    it("gets pods as tables, wide, as YAML and by selector", async () => {
      await kubectl.run(["create", "-f", "-"], podYaml("got"));
      assert.match(
        await kubectl.run(["get", "pods"]),
        /^NAME +READY +STATUS +RESTARTS +AGE\ngot +0\/2 +Pending +0 +\d+s\n$/,
      );
      assert.match(await kubectl.run(["get", "pods", "-o", "wide"]), /IP +NODE +NOMINATED NODE +READINESS GATES/);
      assert.match(await kubectl.run(["get", "pod", "got", "-o", "yaml"]), /image: busybox\n[\s\S]*phase: Pending/);
      assert.equal(await kubectl.run(["get", "pods", "-A", "-l", "app=web", "-o", "name"]), "pod/got\n");
      assert.match((await kubectl.outcome(["get", "pods", "-l", "app=none"])).stderr, /No resources found/);
      assert.match(await kubectl.run(["get", "all"]), /pod\/got|got/);
      assert.match(
        (await kubectl.outcome(["get", "pod", "none"])).stderr,
        /Error from server \(NotFound\): pods "none" not found/,
      );
    });

    it("creates from typed commands, which send protobuf", async () => {
      await kubectl.run(["create", "namespace", "typed"]);
      await kubectl.run(["create", "configmap", "c", "--from-literal=k=v", "-n", "typed"]);
      await kubectl.run(["create", "secret", "generic", "s", "--from-literal=p=secret", "-n", "typed"]);
      await kubectl.run(["create", "serviceaccount", "sa", "-n", "typed"]);
      assert.equal(await jsonPath("configmap c -n typed", ".data.k"), "v");
      assert.equal(await jsonPath("secret s -n typed", ".data.p"), Buffer.from("secret").toString("base64"));
      assert.equal(await jsonPath("secret s -n typed", ".type"), "Opaque");
      assert.match(await kubectl.run(["get", "ns", "typed"]), /typed +Active/);
      await kubectl.run(["run", "ran", "--image=busybox", "--restart=Never", "-n", "typed", "--", "sleep", "1"]);
      assert.equal(await jsonPath("pod ran -n typed", ".spec.containers[0].args"), '["sleep","1"]');
    });

    it("applies what is new, what is the same and what has changed", async () => {
      assert.equal(await kubectl.run(["apply", "-f", "-"], podYaml("applied")), "pod/applied created\n");
      assert.equal(await kubectl.run(["apply", "-f", "-"], podYaml("applied")), "pod/applied unchanged\n");
      assert.equal(
        await kubectl.run(["apply", "-f", "-"], podYaml("applied", "busybox:2")),
        "pod/applied configured\n",
      );
      assert.equal(await jsonPath("pod applied", ".spec.containers[*].image"), "busybox:2 side:1");
      // A custom resource is patched by merge, without a schema of kubectl's own.
      const price = (team: string) => `
apiVersion: isopod.dev/v1alpha1
kind: PriceList
metadata: {name: list, labels: {team: ${team}}}
spec: {currency: EUR, effectiveFrom: "2026-01-01T00:00:00Z", vcpuSecondMicros: 10, gibSecondMicros: 1}
`;
      assert.match(await kubectl.run(["apply", "-f", "-"], price("red")), /created/);
      assert.match(await kubectl.run(["apply", "-f", "-"], price("blue")), /configured/);
      assert.equal(await jsonPath("pricelist list", ".metadata.labels.team"), "blue");
    });

    it("refuses unknown fields before anything is stored, and warns when asked only to", async () => {
      const typo = podYaml("typo").replace("image: busybox", "image: busybox\n    imagee: x");
      const strict = await kubectl.outcome(["apply", "-f", "-"], typo);
      assert.equal(strict.code, 1);
      assert.match(strict.stderr, /unknown field "spec\.containers\[0\]\.imagee"/);
      const warned = await kubectl.outcome(["apply", "--validate=warn", "-f", "-"], typo);
      assert.equal(warned.code, 0);
      assert.match(warned.stderr, /Warning: unknown field "spec\.containers\[0\]\.imagee"/);
      const hostNetwork = podYaml("host").replace("spec:", "spec:\n  hostNetwork: true");
      assert.match(
        (await kubectl.outcome(["apply", "-f", "-"], hostNetwork)).stderr,
        /hostNetwork.*not supported by Isopod/,
      );
    });

    it("dry-runs on the server", async () => {
      assert.match(
        await kubectl.run(["apply", "--dry-run=server", "-f", "-"], podYaml("dry")),
        /created \(server dry run\)/,
      );
      assert.equal((await kubectl.outcome(["get", "pod", "dry"])).code, 1);
    });

    it("labels, annotates and patches in every way", async () => {
      await kubectl.run(["create", "-f", "-"], podYaml("patched"));
      await kubectl.run(["label", "pod", "patched", "tier=front", "app-"]);
      await kubectl.run(["annotate", "pod", "patched", "note=here"]);
      assert.equal(await jsonPath("pod patched", ".metadata.labels"), '{"tier":"front"}');
      assert.equal(await jsonPath("pod patched", ".metadata.annotations.note"), "here");
      await kubectl.run([
        "patch",
        "pod",
        "patched",
        "-p",
        '{"spec":{"containers":[{"name":"side","image":"side:2"}]}}',
      ]);
      assert.equal(await jsonPath("pod patched", ".spec.containers[*].image"), "busybox side:2");
      await kubectl.run(["patch", "pod", "patched", "--type=merge", "-p", '{"metadata":{"labels":{"tier":"back"}}}']);
      await kubectl.run([
        "patch",
        "pod",
        "patched",
        "--type=json",
        "-p",
        '[{"op":"add","path":"/metadata/labels/x","value":"y"}]',
      ]);
      assert.equal(await jsonPath("pod patched", ".metadata.labels"), '{"tier":"back","x":"y"}');
      await kubectl.run([
        "patch",
        "pod",
        "patched",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"phase":"Running"}}',
      ]);
      assert.equal(await jsonPath("pod patched", ".status.phase"), "Running");
      await kubectl.run(["set", "image", "pod/patched", "main=busybox:3"]);
      assert.equal(await jsonPath("pod patched", ".spec.containers[0].image"), "busybox:3");
    });

    it("replaces as an editor does", async () => {
      await kubectl.run(["create", "configmap", "edited", "--from-literal=k=1"]);
      const yaml = await kubectl.run(["get", "configmap", "edited", "-o", "yaml"]);
      assert.equal(
        await kubectl.run(["replace", "-f", "-"], yaml.replace('k: "1"', 'k: "2"')),
        "configmap/edited replaced\n",
      );
      const stale = await kubectl.outcome(["replace", "-f", "-"], yaml.replace('k: "1"', 'k: "3"'));
      assert.match(stale.stderr, /the object has been modified/);
      assert.equal(await jsonPath("configmap edited", ".data.k"), "2");
    });

    it("deletes and waits until the object is gone", async () => {
      await kubectl.run(["create", "configmap", "gone"]);
      assert.match(await kubectl.run(["delete", "configmap", "gone", "--wait"]), /"gone" deleted/);
      await kubectl.run(["create", "-f", "-"], podYaml("leaving"));
      const deleting = kubectl.run(["delete", "pod", "leaving", "--wait", "--timeout=60s"]);
      while (!(await jsonPath("pod leaving", ".metadata.deletionTimestamp"))) continue;
      const path = "/api/v1/namespaces/default/pods/leaving";
      const mergePatch = { "Content-Type": "application/merge-patch+json" };
      await test.call("PATCH", path, { metadata: { finalizers: null } }, mergePatch);
      assert.match(await deleting, /"leaving" deleted/);
    });

    it("waits for a condition", async () => {
      await kubectl.run(["create", "-f", "-"], podYaml("ready"));
      const waiting = kubectl.run(["wait", "--for=condition=Ready", "pod/ready", "--timeout=60s"]);
      const status = { conditions: [{ type: "Ready", status: "True" }] };
      const strategic = { "Content-Type": "application/strategic-merge-patch+json" };
      await test.call("PATCH", "/api/v1/namespaces/default/pods/ready/status", { status }, strategic);
      assert.equal(await waiting, "pod/ready condition met\n");
      assert.match(
        (await kubectl.outcome(["wait", "--for=condition=Never", "pod/ready", "--timeout=1s"])).stderr,
        /timed out/,
      );
    });

    it("watches with get -w", async () => {
      await kubectl.run(["create", "configmap", "watched-1"]);
      const printed = await kubectl.readUntil(
        ["get", "configmaps", "-w"],
        (stdout) => stdout.includes("watched-2"),
        async () => await kubectl.run(["create", "configmap", "watched-2"]),
      );
      assert.match(printed, /^NAME +DATA +AGE\n/);
      assert.equal(printed.split("\n").filter((line) => line.startsWith("NAME")).length, 1);
    });

    it("explains, lists kinds and versions, and may do everything", async () => {
      assert.match(await kubectl.run(["explain", "pod.spec.containers.image"]), /FIELD: image <string>/);
      assert.match(await kubectl.run(["explain", "vpc.spec"]), /cidr/);
      assert.match(await kubectl.run(["api-resources"]), /vpcs +vpc +isopod\.dev\/v1alpha1 +false +VPC/);
      assert.match(await kubectl.run(["api-versions"]), /isopod\.dev\/v1alpha1/);
      assert.match(await kubectl.run(["version"]), /Server Version: v1\.35\./);
      assert.equal(await kubectl.run(["auth", "can-i", "create", "pods"]), "yes\n");
      assert.match(await kubectl.run(["auth", "whoami"]), /isopod-admin/);
    });

    it("describes pods, nodes and namespaces, with events", async () => {
      await kubectl.run(["create", "-f", "-"], podYaml("described"));
      const uid = await jsonPath("pod described", ".metadata.uid");
      const event = {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: "described.1" },
        involvedObject: { kind: "Pod", namespace: "default", name: "described", uid },
        reason: "Pulled",
        message: "image was there",
        type: "Normal",
        source: { component: "kubelet" },
        firstTimestamp: "2026-01-01T00:00:00Z",
        lastTimestamp: "2026-01-01T00:00:00Z",
        count: 1,
      };
      const posted = await test.call("POST", "/api/v1/namespaces/default/events", event);
      assert.equal(posted.status, 201, posted.text);
      const described = await kubectl.run(["describe", "pod", "described"]);
      assert.match(described, /Image: +busybox/);
      assert.match(described, /Normal +Pulled .*image was there/);
      assert.match(await kubectl.run(["events"]), /Pulled +Pod\/described +image was there/);
      assert.match(await kubectl.run(["describe", "node", "node-1"]), /Name: +node-1/);
      assert.match(await kubectl.run(["describe", "namespace", "default"]), /Status: +Active/);
    });

    it("reads logs and executes commands through the node", async () => {
      await createBoundPod(test, "node-1", podNamed("running"), "running");
      const status = { phase: "Running" };
      const mergePatch = { "Content-Type": "application/merge-patch+json" };
      await test.call("PATCH", "/api/v1/namespaces/default/pods/running/status", { status }, mergePatch);
      assert.equal(await kubectl.run(["logs", "running"]), "line 1\nline 2\n");
      const followed = await kubectl.readUntil(["logs", "-f", "running"], (stdout) => stdout.includes("line 2"));
      assert.equal(followed, "line 1\nline 2\n");
      assert.equal(await kubectl.run(["exec", "running", "--", "echo", "hi"]), "echo hi\n");
      // Only v5 tells the other side that the input has ended.
      assert.equal(await kubectl.run(["exec", "-i", "running", "--", "cat"], "typed in"), "cat\ntyped in");
      const failed = await kubectl.outcome(["exec", "running", "--", "fail"]);
      assert.equal(failed.code, 3);
    });

    it("cordons and drains a node", async () => {
      await registerNode(test, "node-9", kubelet.port);
      await createBoundPod(test, "node-9", podNamed("drained"), "drained");
      await kubectl.run(["cordon", "node-9"]);
      assert.match(await kubectl.run(["get", "node", "node-9"]), /SchedulingDisabled/);
      const draining = kubectl.run(["drain", "node-9", "--force", "--timeout=60s"]);
      while (!(await jsonPath("pod drained", ".metadata.deletionTimestamp"))) continue;
      const path = "/api/v1/namespaces/default/pods/drained";
      await test.call("DELETE", path, { gracePeriodSeconds: 0 });
      await test.call(
        "PATCH",
        path,
        { metadata: { finalizers: null } },
        { "Content-Type": "application/merge-patch+json" },
      );
      assert.match(await draining, /node\/node-9 drained/);
    });
  });
}

describe(`kubectl ${oldestKubectlVersion}`, () => {
  let test: TestServer;
  let kubectl: Kubectl;
  before(async () => {
    test = await startTestServer();
    kubectl = await Kubectl.open(oldestKubectlVersion, test);
  });
  after(async () => await test[Symbol.asyncDispose]());

  it("creates, applies, explains and deletes, with the documents that it needs for them", async () => {
    assert.equal(await kubectl.run(["create", "-f", "-"], podYaml("old")), "pod/old created\n");
    assert.equal(await kubectl.run(["apply", "-f", "-"], podYaml("applied")), "pod/applied created\n");
    assert.equal(await kubectl.run(["apply", "-f", "-"], podYaml("applied", "busybox:2")), "pod/applied configured\n");
    const typo = podYaml("typo").replace("image: busybox", "image: busybox\n    imagee: x");
    assert.match((await kubectl.outcome(["create", "-f", "-"], typo)).stderr, /imagee/);
    assert.match(await kubectl.run(["explain", "pod.spec.containers"]), /imagePullPolicy/);
    assert.match(await kubectl.run(["get", "pods"]), /^old +0\/2 +Pending/m);
    await kubectl.run(["create", "configmap", "c", "--from-literal=k=v"]);
    // Nobody meters here, so the pods would be waited for.
    assert.match(await kubectl.run(["delete", "pod", "old", "--wait=false"]), /deleted/);
  });

  it("is told that exec needs a newer kubectl", async () => {
    await kubectl.run(["create", "-f", "-"], podYaml("spdy"));
    const { code, stderr } = await kubectl.outcome(["exec", "spdy", "-c", "main", "--", "true"]);
    assert.equal(code, 1);
    assert.match(stderr, /does not have a host assigned|WebSocket/);
  });
});
