import assert from "node:assert/strict";
import { test } from "node:test";
import { frames } from "../testing/frames.ts";
import { TestGuest } from "../testing/guest.ts";
import { TestHost } from "../testing/host.ts";
import { TestNamespace } from "../testing/namespace.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { gatewayAddress, gatewayMacAddress } from "./names.ts";

test("two instances of a VPC reach each other and their gateway", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  await using a = await TestGuest.start(specA, await host.attach(specA));
  await using b = await TestGuest.start(specB, await host.attach(specB));

  assert.ok(await a.namespace.canPing(specB.address));
  assert.ok(await b.namespace.canPing(specA.address));
  assert.ok(await a.namespace.canPing(gatewayAddress));
  const neighbour = await a.namespace.run("ip", "neighbour", "show", gatewayAddress);
  assert.ok(neighbour.includes(gatewayMacAddress), neighbour);

  const server = b.python(`
import socket
listener = socket.create_server(("0.0.0.0", 7000))
connection, peer = listener.accept()
received = 0
while chunk := connection.recv(65536): received += len(chunk)
print(peer[0], received)`);
  await a.python(`
import socket, time
for attempt in range(300):
    try: connection = socket.create_connection(("${specB.address}", 7000), timeout=20); break
    except ConnectionRefusedError: time.sleep(0.1)
connection.sendall(b"x" * 300_000)
connection.close()`);
  assert.equal((await server).trim(), `${specA.address} 300000`);
});

test("an address of the VPC that no interface has is unreachable, and the router serves nothing", async () => {
  await using host = await TestHost.create();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  assert.equal(await guest.namespace.canPing("10.64.0.9"), false);
  // Closed by silence: neither a listener nor a refusal is to be seen.
  const outcome = await guest.python(`
import socket
try: socket.create_connection(("${gatewayAddress}", 22), timeout=2)
except OSError as error: print(type(error).__name__)`);
  assert.equal(outcome.trim(), "TimeoutError");
});

test("two VPCs with the same addresses each see only their own", async () => {
  await using host = await TestHost.create();
  const [blue, green] = [vpcSpec("blue"), vpcSpec("green")];
  const guests = [];
  await using stack = new AsyncDisposableStack();
  for (const spec of [
    interfaceSpec(blue, 2),
    interfaceSpec(blue, 3),
    interfaceSpec(green, 2),
    interfaceSpec(green, 3),
  ]) {
    guests.push(stack.use(await TestGuest.start(spec, await host.attach(spec))));
  }
  const only = interfaceSpec(blue, 4);
  stack.use(await TestGuest.start(only, await host.attach(only)));
  const [blueClient, blueServer, greenClient, greenServer] = guests;
  assert.ok(blueClient && blueServer && greenClient && greenServer);

  const serve = (name: string): string => `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7777))
peer = server.recvfrom(64)[1]
server.sendto(b"${name}", peer)`;
  const ask = `
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.5)
client.connect(("10.64.0.3", 7777))
for attempt in range(60):
    try: client.send(b"who"); print(client.recv(64).decode()); break
    except (TimeoutError, ConnectionRefusedError): pass`;
  const servers = [blueServer.python(serve("blue")), greenServer.python(serve("green"))];
  assert.equal((await blueClient.python(ask)).trim(), "blue");
  assert.equal((await greenClient.python(ask)).trim(), "green");
  await Promise.all(servers);
  assert.ok(await blueClient.namespace.canPing(only.address));
  assert.equal(await greenClient.namespace.canPing(only.address), false);
});

test("host and instance do not reach each other, over IPv4 or IPv6", async () => {
  await using host = await TestHost.create();
  await using outside = await TestNamespace.create();
  await host.namespace.connect("up0", "203.0.113.1/24", outside, "203.0.113.2/24");
  await host.namespace.ip("address add fd00:77::1/64 dev up0 nodad", "route add default via 203.0.113.2");
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  const attached = await host.attach(spec);
  await using guest = await TestGuest.start(spec, attached);
  await guest.namespace.ip(
    "address add fd00:66::2/128 dev eth0 nodad",
    "route add ::/0 dev eth0",
    `neighbour replace fd00:77::1 lladdr ${gatewayMacAddress} dev eth0`,
  );
  assert.equal(await host.namespace.canPing(spec.address), false);
  assert.equal(await guest.namespace.canPing("203.0.113.1"), false);
  assert.equal(await guest.namespace.canPing("fd00:77::1"), false);
  // The link-local address the router's tap would have, made from its MAC.
  assert.equal(await guest.namespace.canPing("fe80::a9ff:fefe:101%eth0"), false);
});

test("IPv6 between two instances of a VPC is dropped, link-local too", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  await using a = await TestGuest.start(specA, await host.attach(specA));
  await using b = await TestGuest.start(specB, await host.attach(specB));
  for (const [guest, own, other] of [
    [a, "2", "3"],
    [b, "3", "2"],
  ] as const) {
    await guest.namespace.ip(
      `address add fd00:66::${own}/64 dev eth0 nodad`,
      `address add fe80::${own}/64 dev eth0 nodad`,
      `neighbour replace fd00:66::${other} lladdr ${gatewayMacAddress} dev eth0`,
      `neighbour replace fe80::${other} lladdr ${gatewayMacAddress} dev eth0`,
    );
  }
  assert.equal(await a.namespace.canPing("fd00:66::3"), false);
  assert.equal(await a.namespace.canPing("fe80::3%eth0"), false);
});

test("packets with another's address or MAC are dropped, tagged or not", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const [specA, specB, specC] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3), interfaceSpec(vpc, 4)];
  await using a = await TestGuest.start(specA, await host.attach(specA));
  await using b = await TestGuest.start(specB, await host.attach(specB));
  await host.attach(specC);
  const received = b.python(`
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7777))
while True:
    text, peer = server.recvfrom(64)
    print(text.decode(), peer[0])
    if text == b"genuine": break
server.sendto(b"seen", peer)`);
  // The genuine packet is sent last and again and again until it is seen, so what was forged before it came first.
  const sender = a.python(`${frames}
answer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answer.bind(("0.0.0.0", 9))
answer.settimeout(0.1)
plain, tagged = b"\\x08\\x00", b"\\x81\\x00\\x00\\x00\\x08\\x00"
for attempt in range(300):
    for kind in (plain, tagged):
        send("${gatewayMacAddress}", "${specA.macAddress}", kind, udp("${specC.address}", "${specB.address}", b"other-address"))
        send("${gatewayMacAddress}", "${specA.macAddress}", kind, udp("10.64.0.200", "${specB.address}", b"no-such-address"))
        send("${gatewayMacAddress}", "${specC.macAddress}", kind, udp("${specA.address}", "${specB.address}", b"other-mac"))
        send("${gatewayMacAddress}", "${specC.macAddress}", kind, udp("${specC.address}", "${specB.address}", b"other-both"))
    if attempt > 10: send("${gatewayMacAddress}", "${specA.macAddress}", plain, udp("${specA.address}", "${specB.address}", b"genuine"))
    try:
        if answer.recv(64) == b"seen": break
    except TimeoutError: pass`);
  assert.equal((await received).trim(), `genuine ${specA.address}`);
  await sender;
});

test("ARP is answered for the gateway alone, and only to a port's own address and MAC", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  await using a = await TestGuest.start(specA, await host.attach(specA));
  await host.attach(specB);
  const output = await a.python(`${frames}
everyone, own = "ff:ff:ff:ff:ff:ff", "${specA.macAddress}"
kind = b"\\x08\\x06"
send(everyone, own, kind, arp(own, "${specA.address}", "${specB.address}"))
send(everyone, own, kind, arp(own, "${specB.address}", "${gatewayAddress}"))
send(everyone, own, kind, arp("${specB.macAddress}", "${specA.address}", "${gatewayAddress}"))
send(everyone, own, kind, arp(own, "${specA.address}", "${specA.address}"))
send(everyone, own, kind, arp(own, "${specA.address}", "${gatewayAddress}"))
while True:
    frame = raw.recv(100)
    if frame[20:22] != b"\\x00\\x02": continue
    print(frame[22:28].hex(":"), socket.inet_ntoa(frame[28:32]), frame[32:38].hex(":"), socket.inet_ntoa(frame[38:42]))
    break`);
  assert.equal(output.trim(), `${gatewayMacAddress} ${gatewayAddress} ${specA.macAddress} ${specA.address}`);
});
