import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { isopodApiVersion, type Pod, resources, vpcAnnotation } from "@isopod/api";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import { createPod, isReady, logUntil, podUntil, readLog, runPod, shellPod } from "../harness/pods.ts";

/** Prints what the address says, however long that takes. */
const hear = (address: string): string =>
  `until nc ${address} 8080 </dev/null 2>/dev/null | grep .; do sleep 0.2; done`;

/** Prints what the address says within three seconds, or that it says nothing. */
const ask = (address: string, port: number): string =>
  `nc -w 3 ${address} ${port} </dev/null 2>/dev/null || echo nothing from ${address}`;

describe("networks", { concurrency: 2 }, () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const vpc = async (name: string, cidr: string): Promise<void> => {
    const metadata = { name };
    await e2e.client.create(resources.vpcs, {
      apiVersion: isopodApiVersion,
      kind: "VPC",
      metadata,
      spec: { cidr, nat: false },
    });
  };
  const inVpc = (name: string): Partial<Pod["metadata"]> => ({ annotations: { [vpcAnnotation]: name } });
  /** A pod that serves its own name on port 8080; its address. */
  const serve = async (name: string, metadata: Partial<Pod["metadata"]> = {}): Promise<string> => {
    const script =
      `(while :; do echo ${name} | nc -l -p 8080 >/dev/null; done) & ` +
      "until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q :1F90; do sleep 0.1; done; echo serving; wait";
    await createPod(e2e, shellPod(e2e, script, { name, metadata }));
    await logUntil(e2e, name, "serving\n");
    return (await podUntil(e2e, name, "is ready", isReady)).status?.podIP ?? "";
  };

  test("instances of one VPC reach each other; their names and addresses are their own", async () => {
    const address = await serve("server");
    const script = `${hear(address)}; hostname; grep -c "$(hostname)" /etc/hosts; ip -4 addr show | grep -o "inet 10[0-9./]*"`;
    await runPod(e2e, shellPod(e2e, script, { name: "client" }));
    const pod = await e2e.client.get(resources.pods, "default", "client");
    assert.equal(await readLog(e2e, "client"), `server\nclient\n1\ninet ${pod.status?.podIP}/32\n`);
    const eni = await eventually("the interface says where it is attached", async () => {
      const found = await e2e.client.get(resources.networkinterfaces, "default", "server");
      return found.status?.phase === "Attached" ? found : undefined;
    });
    assert.equal(eni.spec.address, address);
    assert.equal(eni.status?.nodeName, (await e2e.client.get(resources.pods, "default", "server")).spec.nodeName);
  });

  test("VPCs with the same addresses know nothing of each other", async () => {
    await vpc("red", "10.99.0.0/24");
    await vpc("blue", "10.99.0.0/24");
    const red = [await serve("red-one", inVpc("red")), await serve("red-two", inVpc("red"))];
    const script = red.map((address) => ask(address, 8080)).join("; ");
    const reached = red.map(hear).join("; ");
    await runPod(e2e, shellPod(e2e, reached, { name: "red-client", metadata: inVpc("red") }));
    assert.equal(await readLog(e2e, "red-client"), "red-one\nred-two\n");
    await runPod(e2e, shellPod(e2e, script, { name: "blue-client", metadata: inVpc("blue") }));
    assert.equal(await readLog(e2e, "blue-client"), red.map((address) => `nothing from ${address}\n`).join(""));
    // They are there all the while.
    await runPod(e2e, shellPod(e2e, reached, { name: "red-again", metadata: inVpc("red") }));
    assert.equal(await readLog(e2e, "red-again"), "red-one\nred-two\n");
  });

  test("there is no way to the host, nor out", async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.end("host\n");
    });
    server.listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter((one) => one.family === "IPv4" && !one.internal)
      .map((one) => one.address);
    const gateway = "$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')";
    const targets = [...own, gateway, "192.0.2.1"];
    const script = targets.map((address) => ask(address, port)).join("; ");
    await runPod(e2e, shellPod(e2e, script, { name: "caged" }));
    server.close();
    const answers = (await readLog(e2e, "caged")).trim().split("\n");
    assert.equal(answers.length, targets.length);
    for (const answer of answers) assert.match(answer, /^nothing from \d/);
    assert.equal(connections, 0);
  });

  test("a pod whose VPC does not exist says so, and starts when it comes", async () => {
    await createPod(e2e, shellPod(e2e, "hostname", { name: "homeless", metadata: inVpc("green") }));
    await eventually("an event names the VPC", async () => {
      const { items } = await e2e.client.list(resources.events, { namespace: "default" });
      return items.some(
        (one) => one.involvedObject.name === "homeless" && /VPC "green" does not exist/.test(one.message ?? ""),
      );
    });
    await vpc("green", "10.98.0.0/28");
    await podUntil(e2e, "homeless", "is over", (pod) => pod.status?.phase === "Succeeded");
  });
});
