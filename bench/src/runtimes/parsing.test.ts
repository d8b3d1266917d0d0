import assert from "node:assert/strict";
import { test } from "node:test";
import { fioCommand, parseFio } from "./disk.ts";
import { parseGateway, parsePing } from "./ping.ts";
import { parseIperf } from "./throughput.ts";
import { parseLdd } from "./tools-image.ts";

test("round-trip times are read from ping's lines, not from its summary", () => {
  const output = `PING 169.254.1.1 (169.254.1.1) 56(84) bytes of data.
64 bytes from 169.254.1.1: icmp_seq=1 ttl=64 time=0.296 ms
64 bytes from 169.254.1.1: icmp_seq=2 ttl=64 time=12 ms

--- 169.254.1.1 ping statistics ---
2 packets transmitted, 2 received, 0% packet loss, time 11ms
rtt min/avg/max/mdev = 0.296/0.346/0.396/0.050 ms
`;
  assert.deepEqual(parsePing(output), [0.296, 12]);
});

test("the gateway is that of the default route", () => {
  assert.equal(parseGateway("10.0.0.0/8 dev eth0\ndefault via 169.254.1.1 dev eth0\n"), "169.254.1.1");
  assert.throws(() => parseGateway("10.0.0.0/8 dev eth0\n"), /no default route/);
});

test("throughput is what the other side received, and iperf3's own error is passed on", () => {
  assert.equal(parseIperf('{"end":{"sum_sent":{"bits_per_second":9e9},"sum_received":{"bits_per_second":4e8}}}'), 400);
  assert.throws(() => parseIperf('{"error":"unable to connect to server: Connection refused"}'), /refused/);
  assert.throws(() => parseIperf('{"end":{}}'), /no rate/);
});

const fioJob = (jobname: string, error = 0): object => {
  const side = jobname.includes("read") ? "read" : "write";
  const other = side === "read" ? "write" : "read";
  return { jobname, error, [side]: { bw_bytes: 200 * 1024 * 1024, iops: 51.2 }, [other]: { bw_bytes: 0, iops: 0 } };
};
const fioNames = fioCommand(true).flatMap((one) => /^--name=(.*)$/.exec(one)?.[1] ?? []);

test("fio's figures are rates of the side a job uses, whatever it writes before them", () => {
  const figures = parseFio(`note: both iodepth\n${JSON.stringify({ jobs: fioNames.map((name) => fioJob(name)) })}`);
  assert.equal(figures.length, 6);
  for (const { what, unit, value } of figures) {
    assert.equal(unit, what.startsWith("sequential") ? "MiB/s" : "IOPS");
    assert.equal(value, unit === "MiB/s" ? 200 : 51.2);
  }
});

test("a job of fio that failed is no figure", () => {
  const jobs = fioNames.map((name) => fioJob(name, name === "random-read-16" ? 22 : 0));
  assert.throws(() => parseFio(JSON.stringify({ jobs })), /random-read-16: error 22/);
  assert.throws(() => parseFio(JSON.stringify({ jobs: [] })), /unknown/);
});

test("fio goes past the page cache only when it is told to", () => {
  assert.ok(fioCommand(true).includes("--direct=1"));
  assert.ok(fioCommand(false).includes("--direct=0"));
});

test("libraries are taken from ldd by their paths, the loader too, the kernel's own not", () => {
  const output = `	linux-vdso.so.1 (0x00007f34c9360000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f34c9136000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f34c9362000)
`;
  assert.deepEqual(parseLdd(output), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
});
