import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkError } from "../network-error.ts";
import { frames } from "../testing/frames.ts";
import { TestGuest } from "../testing/guest.ts";
import { TestHost } from "../testing/host.ts";
import { TestNamespace } from "../testing/namespace.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { gatewayAddress, gatewayMacAddress } from "./names.ts";

/** A host with a default route to what is outside, and with a network behind it that is nobody else's business. */
async function startInternet(): Promise<
  AsyncDisposable & { readonly host: TestHost; readonly outside: TestNamespace; readonly lan: TestNamespace }
> {
  const stack = new AsyncDisposableStack();
  const outside = stack.use(await TestNamespace.create());
  const lan = stack.use(await TestNamespace.create());
  const host = stack.use(await TestHost.create());
  await host.namespace.connect("up0", "198.51.100.1/24", outside, "198.51.100.2/24");
  await host.namespace.connect("lan0", "192.168.77.1/24", lan, "192.168.77.2/24");
  await host.namespace.ip("route add default via 198.51.100.2");
  await lan.ip("route add default via 192.168.77.1");
  await outside.ip("address add 203.0.113.7/32 dev lo", "address add 169.254.169.254/32 dev lo");
  return { host, outside, lan, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

async function forwarding(host: TestHost, device: string): Promise<string> {
  return (await host.namespace.run("sysctl", "-n", `net.ipv4.conf.${device}.forwarding`)).trim();
}

async function natAddresses(host: TestHost): Promise<readonly string[]> {
  return (await host.namespace.run("ip", "-4", "route")).match(/\b100\.\d+\.\d+\.\d+/g) ?? [];
}

test("a VPC with NAT reaches the outside under the host's address, and one without does not", async () => {
  await using internet = await startInternet();
  const { host, outside } = internet;
  const [specIn, specOut] = [interfaceSpec(vpcSpec("inside"), 2), interfaceSpec(vpcSpec("outward", true), 2)];
  await using inward = await TestGuest.start(specIn, await host.attach(specIn));
  await using outward = await TestGuest.start(specOut, await host.attach(specOut));
  const server = outside.run(
    "python3",
    "-c",
    `
import socket
listener = socket.create_server(("0.0.0.0", 7000))
connection, peer = listener.accept()
print(peer[0])
connection.sendall(b"y" * 200_000)`,
  );
  const received = await outward.python(`
import socket, time
for attempt in range(300):
    try: connection = socket.create_connection(("203.0.113.7", 7000), timeout=20); break
    except ConnectionRefusedError: time.sleep(0.1)
received = 0
while chunk := connection.recv(65536): received += len(chunk)
print(received)`);
  assert.equal(received.trim(), "200000");
  assert.equal((await server).trim(), "198.51.100.1");
  assert.ok(await outward.namespace.canPing("203.0.113.7"));
  assert.ok(await outward.namespace.canPing(gatewayAddress));
  assert.equal(await inward.namespace.canPing("203.0.113.7"), false);
});

test("VPCs with the same addresses share the way out without meeting on it", async () => {
  await using internet = await startInternet();
  const { host } = internet;
  const [blue, green] = [interfaceSpec(vpcSpec("blue", true), 2), interfaceSpec(vpcSpec("green", true), 2)];
  await using a = await TestGuest.start(blue, await host.attach(blue));
  await using b = await TestGuest.start(green, await host.attach(green));
  const addresses = new Set(await natAddresses(host));
  assert.equal(addresses.size, 2);
  assert.deepEqual(await Promise.all([a.namespace.canPing("203.0.113.7"), b.namespace.canPing("203.0.113.7")]), [
    true,
    true,
  ]);
  for (const address of addresses) {
    assert.equal(await a.namespace.canPing(address), false);
    assert.equal(await b.namespace.canPing(address), false);
  }
  // An address of the own VPC that nobody has must not be looked for outside.
  assert.equal(await a.namespace.canPing("10.64.0.77"), false);
});

test("the way out leads neither to the host, nor to its other networks, nor to its cloud's metadata", async () => {
  await using internet = await startInternet();
  const { host, lan } = internet;
  const spec = interfaceSpec(vpcSpec("outward", true), 2);
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  assert.ok(await guest.namespace.canPing("203.0.113.7"));
  assert.ok(await host.namespace.canPing("192.168.77.2"));
  assert.ok(await host.namespace.canPing("169.254.169.254"));
  for (const address of ["198.51.100.1", "192.168.77.1", "192.168.77.2", "169.254.169.254", "169.254.1.2"]) {
    assert.equal(await guest.namespace.canPing(address), false, address);
  }
  // Not even one way, on hosts that forward between all their interfaces.
  await host.namespace.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1");
  const [onLan, onHost] = [await lan.listen(), await host.namespace.listen()];
  for (const address of ["192.168.77.2", "192.168.77.1", "198.51.100.1"]) await guest.namespace.send(address, "leak");
  await host.namespace.send("192.168.77.2", "end");
  await host.namespace.send("127.0.0.1", "end");
  assert.deepEqual(await onLan.received, []);
  assert.deepEqual(await onHost.received, []);
});

test("nothing outside, nor the host, reaches in; nor does the host route for its neighbours", async () => {
  await using internet = await startInternet();
  const { host, outside, lan } = internet;
  const spec = interfaceSpec(vpcSpec("outward", true), 2);
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  const [natAddress = ""] = await natAddresses(host);
  const link = (await host.leftovers()).find((name) => name.startsWith("isn")) ?? "";
  await host.namespace.ip(`route add 10.64.0.0/16 via ${natAddress} dev ${link}`);
  for (const network of [`${natAddress}/32`, "10.64.0.0/16", "192.168.77.0/24"]) {
    await outside.ip(`route add ${network} via 198.51.100.1`);
  }
  assert.ok(await guest.namespace.canPing("203.0.113.7"));
  assert.equal(await host.namespace.canPing(natAddress), false);
  assert.equal(await host.namespace.canPing(spec.address), false);
  assert.equal(await outside.canPing(natAddress), false);
  assert.equal(await outside.canPing(spec.address), false);
  assert.equal(await outside.canPing("192.168.77.2"), false);
  assert.equal(await lan.canPing("203.0.113.7"), false);
  // Not even one way.
  const neighbour = interfaceSpec(spec.vpc, 3);
  await using other = await TestGuest.start(neighbour, await host.attach(neighbour));
  const [inGuest, onLan] = [await guest.namespace.listen(), await lan.listen()];
  for (const from of [host.namespace, outside]) {
    for (const address of [spec.address, natAddress]) await from.send(address, "leak");
  }
  await outside.send("192.168.77.2", "leak");
  await other.namespace.send(spec.address, "end");
  await host.namespace.send("192.168.77.2", "end");
  assert.deepEqual(await inGuest.received, []);
  assert.deepEqual(await onLan.received, []);
});

test("a packet that cannot be translated does not leave", async () => {
  await using internet = await startInternet();
  const { host, outside } = internet;
  const spec = interfaceSpec(vpcSpec("outward", true), 2);
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  const seen = outside.run(
    "python3",
    "-c",
    `
import socket
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
sources, ends = set(), 0
while ends < 3:
    packet, peer = sniffer.recvfrom(2048)
    if peer[2] == socket.PACKET_OUTGOING or packet[9] == 1: continue
    if packet[28:] == b"end": ends += 1
    else: sources.add(socket.inet_ntoa(packet[12:16]) + ":" + str(packet[9]))
print(*sorted(sources))`,
  );
  // SYN with FIN, and nothing at all, are never valid. Sent until the sniffer has seen whole rounds.
  void guest.python(`${frames}
import time
target, own = "203.0.113.7", "${spec.address}"
while True:
    for packet in (tcp(own, target, 3), tcp(own, target, 0), tcp(own, target, 2), udp(own, target, b"end")):
        send("${gatewayMacAddress}", "${spec.macAddress}", b"\\x08\\x00", packet)
    time.sleep(0.1)`);
  // 6 is TCP: the plain SYN, under the host's address.
  assert.equal((await seen).trim(), "198.51.100.1:6");
});

test("the last VPC with NAT takes links, rules and forwarding with it", async () => {
  await using internet = await startInternet();
  const { host } = internet;
  const [blue, green] = [interfaceSpec(vpcSpec("blue", true), 2), interfaceSpec(vpcSpec("green", true), 2)];
  assert.equal(await forwarding(host, "up0"), "0");
  await host.attach(blue);
  await host.attach(green);
  assert.equal(await forwarding(host, "up0"), "1");
  assert.equal(await forwarding(host, "lan0"), "0");
  await host.detach(blue.id);
  assert.equal(await forwarding(host, "up0"), "1");
  assert.ok((await host.leftovers()).includes(`isopod_${host.installation}`));
  await host.detach(green.id);
  assert.deepEqual(await host.leftovers(), []);
  assert.equal(await forwarding(host, "up0"), "0");
});

test("NAT can be switched on and off under a running instance, and survives a restart", async () => {
  await using internet = await startInternet();
  const { host } = internet;
  const first = interfaceSpec(vpcSpec("blue"), 2);
  await using guest = await TestGuest.start(first, await host.attach(first));
  assert.equal(await guest.namespace.canPing("203.0.113.7"), false);
  const outward = vpcSpec("blue", true);
  await host.attach(interfaceSpec(outward, 3));
  assert.ok(await guest.namespace.canPing("203.0.113.7"));
  const addresses = await natAddresses(host);

  await host.kill();
  await host.start();
  assert.ok(await guest.namespace.canPing("203.0.113.7"));
  await host.attach(interfaceSpec(outward, 4));
  assert.deepEqual(await natAddresses(host), addresses);
  assert.ok(await guest.namespace.canPing("203.0.113.7"));

  await host.attach(interfaceSpec(vpcSpec("blue"), 5));
  assert.equal(await guest.namespace.canPing("203.0.113.7"), false);
  assert.deepEqual(
    (await host.leftovers()).filter((name) => !name.startsWith("isopod-")),
    [],
  );
});

test("NAT on a host without a default route is refused with the reason, and leaves nothing", async () => {
  await using host = await TestHost.create();
  await assert.rejects(host.attach(interfaceSpec(vpcSpec("outward", true), 2)), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.equal(error.code, "NoUplink");
    assert.match(error.remedy ?? "", /default route/);
    return true;
  });
  assert.deepEqual(await host.leftovers(), []);
});
