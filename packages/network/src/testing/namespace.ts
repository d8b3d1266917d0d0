import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { runCommand } from "@isopod/base";

/** A network namespace of the test's own: a host, a guest, or what is outside. */
export class TestNamespace implements AsyncDisposable {
  readonly name: string;
  /** Ends the programs that still run in it. */
  readonly #end = new AbortController();

  private constructor(name: string) {
    this.name = name;
  }

  static async create(): Promise<TestNamespace> {
    const namespace = new TestNamespace(`isopodtest-${randomBytes(4).toString("hex")}`);
    await runCommand("ip", ["netns", "add", namespace.name]);
    await namespace.ip("link set dev lo up");
    // A new namespace begins with the machine's own settings, and a container engine may have made a router of that.
    await namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=0");
    return namespace;
  }

  /** Connects the two by a veth pair named `device` on both sides, each with an address in prefix notation. */
  async connect(device: string, address: string, other: TestNamespace, otherAddress: string): Promise<void> {
    await this.ip(
      `link add ${device} type veth peer name ${device} netns ${other.name}`,
      `address add ${address} dev ${device}`,
      `link set dev ${device} up`,
    );
    await other.ip(`address add ${otherAddress} dev ${device}`, `link set dev ${device} up`);
  }

  async ip(...lines: readonly string[]): Promise<void> {
    await runCommand("ip", ["-n", this.name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  /** Runs a program in the namespace and returns what it prints. */
  run(program: string, ...args: readonly string[]): Promise<string> {
    const { signal } = this.#end;
    const output = runCommand("nsenter", [`--net=/run/netns/${this.name}`, program, ...args], { signal });
    const stdout = output.then((done) => done.stdout);
    // A test that has failed no longer waits for what it started.
    stdout.catch(() => {});
    return stdout;
  }

  async succeeds(program: string, ...args: readonly string[]): Promise<boolean> {
    return await this.run(program, ...args).then(
      () => true,
      () => false,
    );
  }

  /** True if one of a few echo requests is answered. */
  async canPing(address: string, ...options: readonly string[]): Promise<boolean> {
    return await this.succeeds("ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", ...options, address);
  }

  /** Listens for datagrams on port 7777 until one says `end`; `received` are the texts that came before. */
  async listen(): Promise<{ readonly received: Promise<readonly string[]> }> {
    const script = `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7777))
print("listening", flush=True)
while (text := server.recv(64)) != b"end": print(text.decode())`;
    const child = spawn("nsenter", [`--net=/run/netns/${this.name}`, "python3", "-c", script], {
      stdio: ["ignore", "pipe", "inherit"],
      signal: this.#end.signal,
    });
    child.on("error", () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await lines.next();
    const collect = async (): Promise<readonly string[]> => {
      const texts: string[] = [];
      for (let line = await lines.next(); line.done !== true; line = await lines.next()) texts.push(line.value);
      return texts;
    };
    return { received: collect() };
  }

  /** Sends a datagram to a listener, one way: what answers it is of no account. */
  async send(address: string, text: string): Promise<void> {
    const script = `
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for attempt in range(3):
    try: client.sendto(b"${text}", ("${address}", 7777))
    except OSError: pass`;
    await this.run("python3", "-c", script);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await runCommand("ip", ["netns", "del", this.name]);
  }
}
