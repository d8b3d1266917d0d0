import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resourceDefinitions, resources } from "../kinds/index.ts";
import { usageFinalizer } from "../pod-resources.ts";
import { containerWith, podWith } from "../testing/pods.ts";
import type { KubeObject } from "../types/meta.ts";
import type { Pod } from "../types/pod.ts";
import { applyDefaults } from "./index.ts";
import { defaultNamespace, defaultNode, defaultSecret } from "./core.ts";
import { defaultPod } from "./pod.ts";

test("a bare pod gets what kube-apiserver gives it", () => {
  const pod = defaultPod(podWith());
  assert.deepEqual(pod.spec, {
    containers: [
      {
        name: "main",
        image: "busybox:1.36",
        resources: {},
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
        imagePullPolicy: "IfNotPresent",
      },
    ],
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    serviceAccountName: "default",
    serviceAccount: "default",
    securityContext: {},
    schedulerName: "default-scheduler",
    tolerations: [
      { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
    ],
    priority: 0,
    preemptionPolicy: "PreemptLowerPriority",
    enableServiceLinks: true,
  });
  assert.deepEqual(pod.status, { phase: "Pending", qosClass: "BestEffort" });
});

test("what the pod says is kept", () => {
  const pod = defaultPod(
    podWith(
      {
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 0,
        serviceAccountName: "robot",
        enableServiceLinks: false,
        priorityClassName: "system-node-critical",
        tolerations: [{ operator: "Exists" }],
        containers: [containerWith({ terminationMessagePath: "/msg", imagePullPolicy: "Never" })],
      },
      { phase: "Running", qosClass: "Burstable" },
    ),
  );
  assert.equal(pod.spec.restartPolicy, "Never");
  assert.equal(pod.spec.terminationGracePeriodSeconds, 0);
  assert.equal(pod.spec.serviceAccount, "robot");
  assert.equal(pod.spec.enableServiceLinks, false);
  assert.equal(pod.spec.priority, 2_000_001_000);
  assert.deepEqual(pod.spec.tolerations, [{ operator: "Exists" }]);
  assert.equal(pod.spec.containers[0]?.imagePullPolicy, "Never");
  assert.deepEqual(pod.status, { phase: "Running", qosClass: "Burstable" });
});

test("a pod is held for metering until it is being deleted", () => {
  const pod = podWith();
  const held = defaultPod({ ...pod, metadata: { ...pod.metadata, finalizers: ["example.com/mine"] } });
  assert.deepEqual(held.metadata.finalizers, ["example.com/mine", usageFinalizer]);
  const leaving = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  assert.equal(defaultPod(leaving).metadata.finalizers, undefined);
});

test("an image that may change under its name is pulled always", () => {
  const policyOf = (image: string) =>
    defaultPod(podWith({ containers: [containerWith({ image })] })).spec.containers[0]?.imagePullPolicy;
  assert.equal(policyOf("busybox"), "Always");
  assert.equal(policyOf("busybox:latest"), "Always");
  assert.equal(policyOf("registry.example:5000/busybox"), "Always");
  assert.equal(policyOf("registry.example:5000/busybox:1"), "IfNotPresent");
  assert.equal(policyOf(`busybox@sha256:${"0".repeat(64)}`), "IfNotPresent");
});

test("a limit alone is also the request, and decides the class of service", () => {
  const classOf = (resources: NonNullable<ReturnType<typeof containerWith>["resources"]>) => {
    const pod = defaultPod(podWith({ containers: [containerWith({ resources })] }));
    return [pod.spec.containers[0]?.resources?.requests, pod.status?.qosClass];
  };
  assert.deepEqual(classOf({ limits: { cpu: "1", memory: "1Gi" } }), [{ cpu: "1", memory: "1Gi" }, "Guaranteed"]);
  assert.deepEqual(classOf({ limits: { cpu: "1" }, requests: { cpu: "500m" } }), [{ cpu: "500m" }, "Burstable"]);
  assert.deepEqual(classOf({ requests: { cpu: "0" } }), [{ cpu: "0" }, "BestEffort"]);
});

test("ports, fields and volumes get their small defaults", () => {
  const { spec } = defaultPod(
    podWith({
      volumes: [
        { name: "a" },
        { name: "b", secret: { secretName: "s" } },
        { name: "c", configMap: { name: "c", defaultMode: 0 } },
      ],
      containers: [
        containerWith({
          ports: [{ containerPort: 80 }],
          env: [{ name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
        }),
      ],
    }),
  );
  assert.deepEqual(spec.volumes, [
    { name: "a", emptyDir: {} },
    { name: "b", secret: { secretName: "s", defaultMode: 0o644 } },
    { name: "c", configMap: { name: "c", defaultMode: 0 } },
  ]);
  assert.equal(spec.containers[0]?.ports?.[0]?.protocol, "TCP");
  assert.equal(spec.containers[0]?.env?.[0]?.valueFrom?.fieldRef?.apiVersion, "v1");
});

test("a namespace is born active with its finalizer, and loses it for good", () => {
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } } as const;
  const born = defaultNamespace(namespace);
  assert.deepEqual(born.spec, { finalizers: ["kubernetes"] });
  assert.deepEqual(born.status, { phase: "Active" });
  assert.deepEqual(born.metadata.labels, { "kubernetes.io/metadata.name": "shop" });
  const emptied = defaultNamespace({ ...born, spec: { finalizers: [] }, status: { phase: "Terminating" } });
  assert.deepEqual(emptied.spec, { finalizers: [] });
});

test("text of a secret becomes its data and wins over it", () => {
  const secret = defaultSecret({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s" },
    data: { a: "b2xk", b: "a2VwdA==" },
    stringData: { a: "näw" },
  });
  assert.deepEqual(secret.data, { a: Buffer.from("näw").toString("base64"), b: "a2VwdA==" });
  assert.equal(secret.type, "Opaque");
  assert.equal("stringData" in secret, false);
});

test("a node offers all it has unless it says less", () => {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n" }, status: { capacity: { cpu: "2" } } } as const;
  assert.deepEqual(defaultNode(node).status?.allocatable, { cpu: "2" });
  const less = { ...node, status: { ...node.status, allocatable: { cpu: "1" } } };
  assert.equal(defaultNode(less), less);
});

test("a body without a spec gets defaults and is left to validation", () => {
  for (const definition of resourceDefinitions) {
    const object: KubeObject = { apiVersion: definition.version, kind: definition.kind, metadata: { name: "x" } };
    assert.equal(applyDefaults(definition, object).metadata.name, "x", definition.kind);
  }
});

test("applying defaults twice changes nothing", () => {
  const specs = fc.record(
    {
      containers: fc.array(
        fc.record({ name: fc.constant("a"), image: fc.constantFrom("a", "a:1") }, { noNullPrototype: true }),
        { maxLength: 2 },
      ),
      restartPolicy: fc.constantFrom("Always" as const, "Never" as const),
      priority: fc.integer(),
      tolerations: fc.array(fc.record({ key: fc.constantFrom("x", "node.kubernetes.io/not-ready") })),
    },
    { requiredKeys: ["containers"], noNullPrototype: true },
  );
  fc.assert(
    fc.property(specs, (spec) => {
      const once: Pod = defaultPod(podWith(spec));
      assert.deepEqual(applyDefaults(resources.pods, once), once);
    }),
  );
});
