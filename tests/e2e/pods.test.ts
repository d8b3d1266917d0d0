import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Pod, resources } from "@isopod/api";
import { writeDerivedImage } from "../harness/derived-image.ts";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import {
  awaitEvents,
  createPod,
  followLog,
  isReady,
  logUntil,
  podUntil,
  readLog,
  runPod,
  shellContainer,
  shellPod,
  statusOf,
  touchIn,
} from "../harness/pods.ts";

describe("pods", { concurrency: 3 }, () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  test("get config maps and secrets as variables and as files", async () => {
    const { client } = e2e;
    const meta = (name: string) => ({ name, namespace: "default" });
    await client.create(resources.configmaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: meta("colors"),
      data: { FIRST: "red", "list.txt": "red\ngreen\n" },
    });
    await client.create(resources.secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: meta("door"),
      data: { key: Buffer.from("swordfish").toString("base64") },
    });
    const script = "echo $FIRST $KEY $GREETING; cat /cm/list.txt; cat /secret/key; echo; stat -L -c %a /secret/key";
    const pod = shellPod(e2e, script, {
      name: "configured",
      container: {
        envFrom: [{ configMapRef: { name: "colors" } }],
        env: [
          { name: "KEY", valueFrom: { secretKeyRef: { name: "door", key: "key" } } },
          { name: "GREETING", value: "hello-$(FIRST)" },
        ],
        volumeMounts: [
          { name: "cm", mountPath: "/cm" },
          { name: "secret", mountPath: "/secret", readOnly: true },
        ],
      },
    });
    const volumes = [
      { name: "cm", configMap: { name: "colors" } },
      { name: "secret", secret: { secretName: "door", defaultMode: 0o400 } },
    ];
    const ended = await runPod(e2e, { ...pod, spec: { ...pod.spec, volumes } });
    assert.equal(ended.status?.phase, "Succeeded", JSON.stringify(ended.status));
    assert.equal(await readLog(e2e, "configured"), "red swordfish hello-red\nred\ngreen\nswordfish\n400\n");
  });

  test("wait for a config map that is missing, say so, and start when it comes", async () => {
    const container = { envFrom: [{ configMapRef: { name: "later" } }] };
    await createPod(e2e, shellPod(e2e, "echo $WORD", { name: "patient", container }));
    const waiting = await podUntil(e2e, "patient", "waits", (pod) => {
      return statusOf(pod).state?.waiting?.reason === "CreateContainerConfigError";
    });
    assert.match(statusOf(waiting).state?.waiting?.message ?? "", /configmap "later" not found/);
    await e2e.client.create(resources.configmaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "later", namespace: "default" },
      data: { WORD: "now" },
    });
    await podUntil(e2e, "patient", "is over", (pod) => pod.status?.phase === "Succeeded");
    assert.equal(await readLog(e2e, "patient"), "now\n");
  });

  test("share localhost and emptyDirs between their containers, which may have different images", async () => {
    const layout = join(e2e.directory, "second-layout");
    await writeDerivedImage(e2e.registry, layout, [[{ name: "second" }, "the second image\n"]], {
      Cmd: ["cat", "/second"],
    });
    const image = await e2e.registry.push(layout, "second:1");
    const mount = { name: "shared", mountPath: "/shared" };
    const wait = "while [ ! -e /shared/ready ]; do sleep 0.1; done";
    const server = shellContainer(
      e2e,
      "echo from-main > /shared/index.html; httpd -p 127.0.0.1:8080 -h /shared; touch /shared/ready; sleep 600",
      {
        volumeMounts: [mount],
      },
    );
    const client = shellContainer(
      e2e,
      `${wait}; wget -q -O - http://127.0.0.1:8080/; cat /second; test ! -e /etc/shadow`,
      {
        name: "client",
        image,
        volumeMounts: [mount],
      },
    );
    const pod = shellPod(e2e, "", { name: "pair" });
    const spec = { ...pod.spec, containers: [server, client], volumes: [{ name: "shared", emptyDir: {} }] };
    await createPod(e2e, { ...pod, spec });
    const ended = await podUntil(e2e, "pair", "has its client done", (one) => {
      return statusOf(one, "client").state?.terminated !== undefined;
    });
    assert.equal(statusOf(ended, "client").state?.terminated?.exitCode, 0);
    assert.equal(await readLog(e2e, "pair", { container: "client" }), "from-main\nthe second image\n");
    assert.ok(statusOf(ended, "main").state?.running);
    assert.equal(ended.status?.phase, "Running");
  });

  test("run init containers one after another before the others", async () => {
    const mount = { name: "notes", mountPath: "/notes" };
    const note = (name: string, script: string) => shellContainer(e2e, script, { name, volumeMounts: [mount] });
    const pod = shellPod(e2e, "", { name: "prepared" });
    const ended = await runPod(e2e, {
      ...pod,
      spec: {
        ...pod.spec,
        initContainers: [note("one", "sleep 1; echo one >> /notes/all"), note("two", "echo two >> /notes/all")],
        containers: [note("main", "cat /notes/all")],
        volumes: [{ name: "notes", emptyDir: {} }],
      },
    });
    assert.equal(ended.status?.phase, "Succeeded");
    assert.equal(await readLog(e2e, "prepared"), "one\ntwo\n");
    const [one, two] = ended.status?.initContainerStatuses ?? [];
    assert.ok(one?.ready === true && two?.ready === true);
  });

  test("fail when an init container fails and nothing is to be repeated", async () => {
    const pod = shellPod(e2e, "echo never", { name: "unprepared" });
    const initContainers = [shellContainer(e2e, "exit 4", { name: "setup" })];
    const ended = await runPod(e2e, { ...pod, spec: { ...pod.spec, initContainers } });
    assert.equal(ended.status?.phase, "Failed");
    assert.equal(statusOf(ended, "setup").state?.terminated?.exitCode, 4);
    assert.equal(statusOf(ended).state?.waiting?.reason, "PodInitializing");
  });

  test("back off when they crash again and again, and keep the log of the attempt before", async () => {
    const script = 'echo "attempt"; exit 3';
    await createPod(e2e, shellPod(e2e, script, { name: "crashing", spec: { restartPolicy: "Always" } }));
    const isBackingOff = (pod: Pod): boolean => statusOf(pod).state?.waiting?.reason === "CrashLoopBackOff";
    const pod = await podUntil(e2e, "crashing", "backs off", isBackingOff);
    const status = statusOf(pod);
    assert.equal(status.restartCount, 1);
    assert.equal(status.lastState?.terminated?.exitCode, 3);
    assert.match(status.state?.waiting?.message ?? "", /back-off 10s restarting failed container=main/);
    assert.equal(await readLog(e2e, "crashing", { previous: true }), "attempt\n");
    const [event] = await awaitEvents(e2e, "crashing", "BackOff");
    assert.equal(event, "Back-off restarting failed container main");
    // The VM is held meanwhile; deletion does not wait for the back-off.
    assert.equal((await e2e.isopod(["rm", "crashing"])).exitCode, 0);
  });

  test("are restarted on failure until they succeed", async () => {
    const mount = { name: "tries", mountPath: "/tries" };
    const script = "echo x >> /tries/all; test $(wc -l < /tries/all) -ge 2";
    const pod = shellPod(e2e, script, { name: "stubborn", container: { volumeMounts: [mount] } });
    const spec = { ...pod.spec, restartPolicy: "OnFailure" as const, volumes: [{ name: "tries", emptyDir: {} }] };
    const ended = await runPod(e2e, { ...pod, spec });
    assert.equal(ended.status?.phase, "Succeeded");
    assert.equal(statusOf(ended).restartCount, 1);
    assert.equal(statusOf(ended).lastState?.terminated?.exitCode, 1);
  });

  test("end at their deadline", async () => {
    const spec = { activeDeadlineSeconds: 3, restartPolicy: "Always" as const };
    const ended = await runPod(
      e2e,
      shellPod(e2e, "trap 'exit 0' TERM; while :; do sleep 0.1; done", { name: "timed", spec }),
    );
    assert.equal(ended.status?.phase, "Failed");
    assert.equal(ended.status?.reason, "DeadlineExceeded");
  });

  test("find their own disk full without harm to anything else", async () => {
    const script = "dd if=/dev/zero of=/full bs=1M count=200 2>&1; rm /full; echo alive > /f && cat /f";
    const limits = { cpu: "1", memory: "128Mi", "ephemeral-storage": "64Mi" };
    const ended = await runPod(e2e, shellPod(e2e, script, { name: "hoarder", container: { resources: { limits } } }));
    const log = await readLog(e2e, "hoarder");
    assert.equal(ended.status?.phase, "Succeeded", log);
    assert.match(log, /No space left on device/);
    assert.match(log, /^alive$/m);
  });

  test("give their logs as asked: whole, tailed, since, followed", async () => {
    const wait = (path: string): string => `until [ -e ${path} ]; do sleep 0.1; done`;
    const script = `echo one; echo two; ${wait("/more")}; echo three; ${wait("/end")}`;
    await createPod(e2e, shellPod(e2e, script, { name: "chatty" }));
    await logUntil(e2e, "chatty", "one\ntwo\n");
    const followed = await followLog(e2e, "chatty");
    await touchIn(e2e, "chatty", "/more");
    await logUntil(e2e, "chatty", "one\ntwo\nthree\n");
    assert.equal((await e2e.isopod(["logs", "--tail", "1", "chatty"])).stdout, "three\n");
    const { stdout } = await e2e.isopod(["logs", "--timestamps", "chatty"]);
    assert.match(stdout, /^\d{4}-\d\d-\d\dT\S+Z one$/m);
    const sinceTime = /^(\S+) three$/m.exec(stdout)?.[1] ?? "";
    assert.equal(await readLog(e2e, "chatty", { sinceTime }), "three\n");
    await touchIn(e2e, "chatty", "/end");
    assert.equal(await followed.whole(), "one\ntwo\nthree\n");
    assert.equal((await e2e.isopod(["logs", "--since", "1h", "chatty"])).stdout, "one\ntwo\nthree\n");
    await eventually("all of it is older than a second", async () => {
      return (await readLog(e2e, "chatty", { sinceSeconds: 1 })) === "";
    });
  });

  test("run commands: exit code, input, output, a terminal", async () => {
    await createPod(
      e2e,
      shellPod(e2e, "sleep 600", { name: "host", container: { env: [{ name: "OWN", value: "mine" }] } }),
    );
    await podUntil(e2e, "host", "is ready", isReady);
    const exec = async (flags: readonly string[], command: readonly string[], input = "") =>
      await e2e.isopod(["exec", ...flags, "host", "--", ...command], { input });
    assert.deepEqual(await exec([], ["sh", "-c", "echo $OWN; echo err >&2; exit 9"]), {
      exitCode: 9,
      stdout: "mine\n",
      stderr: "err\n",
    });
    assert.equal((await exec(["-i"], ["wc", "-c"], "x".repeat(300_000))).stdout.trim(), "300000");
    assert.equal((await exec([], ["no-such-command"])).exitCode, 127);
    const terminal = await exec(["-i", "-t"], ["sh", "-c", "test -t 0 && test -t 1 && echo terminal"]);
    assert.match(terminal.stdout, /^terminal\r?\n$/);
  });
});
