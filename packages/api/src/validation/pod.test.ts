import assert from "node:assert/strict";
import { test } from "node:test";
import { applyDefaults } from "../defaulting/index.ts";
import { resources } from "../kinds/index.ts";
import {
  defaultVpcName,
  pausedAnnotation,
  sizeAnnotations,
  snapshotAnnotation,
  startFromAnnotation,
  vpcAnnotation,
} from "../pod-resources.ts";
import { causeTexts } from "../testing/causes.ts";
import { containerWith, podWith } from "../testing/pods.ts";
import type { KubeObject } from "../types/meta.ts";
import { validate } from "./index.ts";

function problemsOf(pod: KubeObject, old?: KubeObject): readonly string[] {
  const before = old === undefined ? undefined : applyDefaults(resources.pods, old);
  return causeTexts(validate(resources.pods, applyDefaults(resources.pods, pod), before));
}

/** Fields as tenants send them: some are not in our types because nothing may use them. */
function specWith(fields: Readonly<Record<string, unknown>>): KubeObject {
  const pod = podWith();
  return { ...pod, spec: { ...pod.spec, ...fields } } as KubeObject;
}

const inContainer = (fields: Readonly<Record<string, unknown>>) =>
  specWith({ containers: [{ ...containerWith(), ...fields }] });
const notYet = (field: string) => [`${field}: Forbidden: not supported by Isopod yet`];

test("an ordinary pod has no problems", () => {
  assert.deepEqual(problemsOf(podWith()), []);
  const rich = podWith({
    initContainers: [containerWith({ name: "init" }), containerWith({ name: "proxy", restartPolicy: "Always" })],
    volumes: [
      { name: "scratch", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } },
      { name: "config", configMap: { name: "settings", items: [{ key: "a", path: "dir/a" }] } },
      { name: "keys", secret: { secretName: "keys", optional: true } },
    ],
    containers: [
      containerWith({
        env: [
          { name: "A", value: "1" },
          { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['example.com/part']" } } },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
          { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "k" } } },
        ],
        envFrom: [{ prefix: "P_", configMapRef: { name: "settings" } }],
        ports: [{ name: "http", containerPort: 80 }],
        volumeMounts: [
          { name: "scratch", mountPath: "/tmp" },
          { name: "config", mountPath: "/etc/app", subPath: "dir", readOnly: true },
        ],
        resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } },
        securityContext: { runAsUser: 1000, capabilities: { drop: ["ALL"] }, privileged: false },
        tty: true,
        stdin: true,
      }),
    ],
    nodeSelector: { "kubernetes.io/arch": "amd64" },
    tolerations: [{ key: "dedicated", value: "x", effect: "NoSchedule" }],
    securityContext: { fsGroup: 1000, seccompProfile: { type: "RuntimeDefault" } },
    automountServiceAccountToken: false,
    hostAliases: [{ ip: "10.0.0.1", hostnames: ["db.local"] }],
    imagePullSecrets: [{ name: "registry" }],
    hostname: "web",
  });
  assert.deepEqual(problemsOf(rich), []);
});

const refusedSpecs: Readonly<Record<string, unknown>> = {
  hostNetwork: true,
  hostPID: true,
  hostIPC: true,
  hostUsers: false,
  shareProcessNamespace: true,
  runtimeClassName: "gvisor",
  overhead: { cpu: "1" },
  ephemeralContainers: [{ name: "debug", image: "busybox" }],
  topologySpreadConstraints: [{ maxSkew: 1 }],
  resourceClaims: [{ name: "gpu" }],
  resources: { limits: { cpu: "1" } },
  readinessGates: [{ conditionType: "example.com/ready" }],
  setHostnameAsFQDN: true,
  subdomain: "web",
  hostnameOverride: "other",
};

test("what Isopod does not do for a pod yet is refused by name", () => {
  for (const [field, value] of Object.entries(refusedSpecs)) {
    assert.deepEqual(problemsOf(specWith({ [field]: value })), notYet(`spec.${field}`), field);
  }
  const securityContexts = {
    sysctls: [{ name: "a", value: "1" }],
    seLinuxOptions: {},
    windowsOptions: {},
    appArmorProfile: { type: "RuntimeDefault" },
  };
  for (const [field, value] of Object.entries(securityContexts)) {
    assert.deepEqual(
      problemsOf(specWith({ securityContext: { [field]: value } })),
      notYet(`spec.securityContext.${field}`),
    );
  }
  for (const field of ["podAffinity", "podAntiAffinity"]) {
    assert.deepEqual(problemsOf(specWith({ affinity: { [field]: {} } })), notYet(`spec.affinity.${field}`));
  }
});

test("what Isopod does not do for a container yet is refused by name", () => {
  const at = "spec.containers[0]";
  const refused: Readonly<Record<string, unknown>> = {
    livenessProbe: { exec: { command: ["true"] } },
    readinessProbe: { tcpSocket: { port: 80 } },
    startupProbe: {},
    lifecycle: { preStop: {} },
    volumeDevices: [{ name: "disk", devicePath: "/dev/xvda" }],
    restartPolicy: "Always",
    restartPolicyRules: [{ action: "Restart" }],
    resizePolicy: [{ resourceName: "cpu", restartPolicy: "NotRequired" }],
  };
  for (const [field, value] of Object.entries(refused)) {
    assert.deepEqual(problemsOf(inContainer({ [field]: value })), notYet(`${at}.${field}`), field);
  }
  const securityContexts = {
    privileged: true,
    seLinuxOptions: {},
    windowsOptions: {},
    procMount: "Unmasked",
    appArmorProfile: {},
  };
  for (const [field, value] of Object.entries(securityContexts)) {
    assert.deepEqual(
      problemsOf(inContainer({ securityContext: { [field]: value } })),
      notYet(`${at}.securityContext.${field}`),
    );
  }
  assert.deepEqual(
    problemsOf(inContainer({ securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "a.json" } } })),
    notYet(`${at}.securityContext.seccompProfile.localhostProfile`),
  );
  for (const field of ["hostPort", "hostIP"]) {
    const ports = [{ containerPort: 80, [field]: field === "hostIP" ? "10.0.0.1" : 80 }];
    assert.deepEqual(problemsOf(inContainer({ ports })), notYet(`${at}.ports[0].${field}`));
  }
  assert.deepEqual(
    problemsOf(inContainer({ resources: { claims: [{ name: "gpu" }] } })),
    notYet(`${at}.resources.claims`),
  );
  const env = [{ name: "A", valueFrom: { fileKeyRef: { volumeName: "v", path: "p", key: "k" } } }];
  assert.deepEqual(problemsOf(inContainer({ env })), notYet(`${at}.env[0].valueFrom.fileKeyRef`));
});

test("volumes that Isopod cannot mount yet are refused by name", () => {
  for (const source of [
    "hostPath",
    "projected",
    "downwardAPI",
    "persistentVolumeClaim",
    "nfs",
    "csi",
    "ephemeral",
    "image",
  ]) {
    assert.deepEqual(
      problemsOf(specWith({ volumes: [{ name: "v", [source]: {} }] })),
      notYet(`spec.volumes[0].${source}`),
    );
  }
  const mounts = { mountPropagation: "Bidirectional", recursiveReadOnly: "Enabled" };
  for (const [field, value] of Object.entries(mounts)) {
    const pod = specWith({
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [{ ...containerWith(), volumeMounts: [{ name: "v", mountPath: "/v", [field]: value }] }],
    });
    assert.deepEqual(problemsOf(pod), notYet(`spec.containers[0].volumeMounts[0].${field}`));
  }
});

test("values that say what happens anyway are no problem", () => {
  assert.deepEqual(
    problemsOf(specWith({ hostNetwork: false, hostPID: false, hostUsers: true, os: { name: "linux" } })),
    [],
  );
  assert.deepEqual(problemsOf(inContainer({ securityContext: { privileged: false, procMount: "Default" } })), []);
  assert.deepEqual(
    problemsOf(specWith({ topologySpreadConstraints: [], ephemeralContainers: [], runtimeClassName: "" })),
    [],
  );
});

test("a pod without what it needs is told what is missing", () => {
  assert.deepEqual(problemsOf({ ...podWith(), spec: undefined } as KubeObject), ["spec.containers: Required value"]);
  assert.deepEqual(problemsOf(inContainer({ image: "" })), ["spec.containers[0].image: Required value"]);
  assert.deepEqual(problemsOf(inContainer({ name: undefined })), ["spec.containers[0].name: Required value"]);
  assert.deepEqual(problemsOf(specWith({ dnsPolicy: "None" })), [
    'spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is "None"',
  ]);
});

const badValues: readonly (readonly [KubeObject, string])[] = [
  [
    specWith({ restartPolicy: "Sometimes" }),
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
  ],
  [
    specWith({ terminationGracePeriodSeconds: -1 }),
    "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
  ],
  [
    specWith({ activeDeadlineSeconds: 0 }),
    "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
  ],
  [specWith({ hostname: "a.b" }), 'spec.hostname: Invalid value: "a.b": must not contain dots'],
  [specWith({ os: { name: "windows" } }), 'spec.os.name: Unsupported value: "windows": supported values: "linux"'],
  [
    specWith({ priorityClassName: "gold" }),
    "spec.priorityClassName: Forbidden: no PriorityClass with name gold was found",
  ],
  [specWith({ containers: [containerWith(), containerWith()] }), 'spec.containers[1].name: Duplicate value: "main"'],
  [specWith({ initContainers: [containerWith()] }), 'spec.initContainers[0].name: Duplicate value: "main"'],
  [
    specWith({ initContainers: [containerWith({ name: "i", restartPolicy: "Never" })] }),
    'spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    inContainer({ image: " a" }),
    'spec.containers[0].image: Invalid value: " a": must not have leading or trailing whitespace',
  ],
  [
    inContainer({ imagePullPolicy: "x" }),
    'spec.containers[0].imagePullPolicy: Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"',
  ],
  [inContainer({ env: [{ name: "" }] }), "spec.containers[0].env[0].name: Required value"],
  [
    inContainer({ env: [{ name: "A=B" }] }),
    "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
  ],
  [
    inContainer({ env: [{ name: "A", value: "x", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }] }),
    'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
  ],
  [
    inContainer({ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "c" } } }] }),
    "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value",
  ],
  [
    inContainer({ ports: [{ containerPort: 70_000 }] }),
    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ],
  [
    inContainer({ ports: [{ containerPort: 1, protocol: "HTTP" }] }),
    'spec.containers[0].ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
  ],
  [
    inContainer({ volumeMounts: [{ name: "v", mountPath: "/v" }] }),
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ],
  [
    inContainer({ resources: { limits: { cpu: "1" }, requests: { cpu: "1500m" } } }),
    'spec.containers[0].resources.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1',
  ],
  [
    inContainer({ resources: { requests: { memory: "-1" } } }),
    'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
  ],
  [
    inContainer({ resources: { requests: { "nvidia.com/gpu": "1" } } }),
    'spec.containers[0].resources.requests[nvidia.com/gpu]: Unsupported value: "nvidia.com/gpu": supported values: "cpu", "memory", "ephemeral-storage"',
  ],
  [
    inContainer({ resources: { limits: { cpu: "17" } } }),
    "spec.containers: Invalid value: the pod asks for 17 vCPU, 512 MiB in all, and the largest instance size is 16 vCPU, 128 GiB",
  ],
  [
    inContainer({ securityContext: { runAsUser: -1 } }),
    "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
  ],
  [
    specWith({ volumes: [{ name: "v", emptyDir: {}, secret: { secretName: "s" } }] }),
    "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
  ],
  [
    specWith({
      volumes: [
        { name: "v", emptyDir: {} },
        { name: "v", emptyDir: {} },
      ],
    }),
    'spec.volumes[1].name: Duplicate value: "v"',
  ],
  [specWith({ volumes: [{ name: "v", secret: {} }] }), "spec.volumes[0].secret.secretName: Required value"],
  [
    specWith({ volumes: [{ name: "v", configMap: { name: "c", items: [{ key: "k", path: "../x" }] } }] }),
    "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
  ],
  [
    specWith({ volumes: [{ name: "v", configMap: { name: "c", defaultMode: 512 } }] }),
    "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
  ],
  [
    specWith({ tolerations: [{ key: "a", operator: "Exists", value: "x" }] }),
    "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
  ],
  [
    specWith({ tolerations: [{ key: "a", operator: "Exists", effect: "NoSchedule", tolerationSeconds: 3 }] }),
    "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
  ],
  [
    specWith({
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } },
    }),
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
  ],
  [
    specWith({ hostAliases: [{ ip: "here" }] }),
    'spec.hostAliases[0].ip: Invalid value: "here": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ],
];

test("a bad value is named by its field, in kube-apiserver's words", () => {
  for (const [pod, expected] of badValues) assert.deepEqual(problemsOf(pod), [expected]);
});

const stored = { ...podWith({ activeDeadlineSeconds: 60, schedulingGates: [{ name: "wait" }] }) };

test("an update may change images, shorten the deadline, add tolerations and open gates", () => {
  const changed = podWith({
    containers: [containerWith({ image: "busybox:1.37" })],
    activeDeadlineSeconds: 30,
    tolerations: [{ key: "dedicated", operator: "Exists" }],
  });
  assert.deepEqual(problemsOf(changed, stored), []);
  assert.deepEqual(problemsOf({ ...stored, metadata: { ...stored.metadata, labels: { a: "b" } } }, stored), []);
});

test("an update may change nothing else of the spec, and says what it tried", () => {
  const [moved = ""] = problemsOf({ ...stored, spec: { ...stored.spec, nodeName: "n2" } } as KubeObject, stored);
  assert.match(
    moved,
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,/,
  );
  assert.match(moved, /\nchanged: spec\.nodeName$/);
  const commands = podWith({ ...stored.spec, containers: [containerWith({ command: ["sh"] })] });
  assert.match(problemsOf(commands, stored).join(), /changed: spec\.containers$/);
  const grown = podWith({ ...stored.spec, containers: [containerWith(), containerWith({ name: "b" })] });
  assert.deepEqual(problemsOf(grown, stored), [
    "spec.containers: Forbidden: pod updates may not add or remove containers",
  ]);
  const longer = podWith({ ...stored.spec, activeDeadlineSeconds: 90 });
  assert.deepEqual(problemsOf(longer, stored), [
    "spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value",
  ]);
  const gated = podWith({ ...stored.spec, schedulingGates: [{ name: "wait" }, { name: "more" }] });
  assert.deepEqual(problemsOf(gated, stored), [
    "spec.schedulingGates[1]: Forbidden: only deletion is allowed, but found new scheduling gate",
  ]);
});

test("a toleration stays, save for its seconds", () => {
  const old = podWith({ tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 }] });
  const shorter = podWith({
    tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 1 }],
  });
  assert.deepEqual(problemsOf(shorter, old), []);
  assert.deepEqual(problemsOf(podWith(), old), [
    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
  ]);
});

function annotated(annotations: Readonly<Record<string, string>>): KubeObject {
  const pod = podWith();
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

test("the VPC of a pod is a name and stays", () => {
  assert.deepEqual(problemsOf(annotated({ [vpcAnnotation]: "blue" })), []);
  assert.deepEqual(problemsOf(annotated({ [vpcAnnotation]: "a.b" })), [
    'metadata.annotations[isopod.dev/vpc]: Invalid value: "a.b": must not contain dots',
  ]);
  assert.deepEqual(problemsOf(annotated({ [vpcAnnotation]: defaultVpcName }), podWith()), []);
  assert.deepEqual(problemsOf(annotated({}), annotated({ [vpcAnnotation]: "blue" })), [
    'metadata.annotations[isopod.dev/vpc]: Invalid value: "default": field is immutable',
  ]);
});

test("what an instance starts from is known, and settled when it is made", () => {
  const field = "metadata.annotations[isopod.dev/start-from]";
  for (const start of ["cold", "template"])
    assert.deepEqual(problemsOf(annotated({ [startFromAnnotation]: start })), []);
  assert.deepEqual(problemsOf(annotated({ [startFromAnnotation]: "warm" })), [
    `${field}: Unsupported value: "warm": supported values: "template", "cold"`,
  ]);
  const cold = annotated({ [startFromAnnotation]: "cold" });
  assert.deepEqual(problemsOf(cold, cold), []);
  assert.deepEqual(problemsOf(podWith(), cold), [`${field}: Invalid value: "": field is immutable`]);
  assert.deepEqual(problemsOf(cold, podWith()), [`${field}: Invalid value: "cold": field is immutable`]);
  assert.deepEqual(problemsOf(annotated({ [startFromAnnotation]: "template" }), podWith()), []);
});

test("a clone names its snapshot when it is made, for good, and does not boot", () => {
  const field = "metadata.annotations[isopod.dev/snapshot]";
  const clone = annotated({ [snapshotAnnotation]: "web-1" });
  assert.deepEqual(problemsOf(clone), []);
  assert.deepEqual(problemsOf(clone, clone), []);
  for (const name of ["", "No", "a/b"]) {
    assert.match(
      problemsOf(annotated({ [snapshotAnnotation]: name })).join(),
      /isopod\.dev\/snapshot\]: Invalid value/,
      name,
    );
  }
  assert.deepEqual(problemsOf(podWith(), clone), [`${field}: Invalid value: "": field is immutable`]);
  assert.deepEqual(problemsOf(clone, podWith()), [`${field}: Invalid value: "web-1": field is immutable`]);
  assert.match(
    problemsOf(annotated({ [snapshotAnnotation]: "web-1", [startFromAnnotation]: "cold" })).join(),
    /^metadata\.annotations\[isopod\.dev\/start-from\]: Forbidden: a clone does not boot/,
  );
});

test("a pod may be asked to pause and to run at any time, in these two words", () => {
  const paused = (value: string) => annotated({ [pausedAnnotation]: value });
  const refusal = (value: string) =>
    `metadata.annotations[isopod.dev/paused]: Unsupported value: "${value}": supported values: "false", "true"`;
  for (const value of ["true", "false"]) {
    assert.deepEqual(problemsOf(paused(value)), []);
    assert.deepEqual(problemsOf(paused(value), podWith()), []);
    assert.deepEqual(problemsOf(podWith(), paused(value)), []);
  }
  for (const value of ["", "yes", "True"]) {
    assert.deepEqual(problemsOf(paused(value)), [refusal(value)]);
    assert.deepEqual(problemsOf(paused(value), paused("true")), [refusal(value)]);
  }
  // Status updates of a pod that was stored before the word had a meaning go through.
  assert.deepEqual(problemsOf(paused("yes"), paused("yes")), []);
});

test("an update may drop the size that is billed, and never change it", () => {
  const sized = annotated(sizeAnnotations({ cpuMilli: 250, memoryMiB: 512 }));
  assert.deepEqual(problemsOf(sized, sized), []);
  assert.deepEqual(problemsOf(podWith(), sized), []);
  assert.deepEqual(problemsOf(sized, podWith()), []);
  const cheaper = annotated(sizeAnnotations({ cpuMilli: 100, memoryMiB: 512 }));
  for (const old of [sized, podWith()]) {
    assert.deepEqual(problemsOf(cheaper, old), [
      'metadata.annotations[isopod.dev/size-cpu]: Invalid value: "100m": field is immutable',
    ]);
  }
});
