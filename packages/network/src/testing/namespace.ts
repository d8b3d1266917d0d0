import { randomBytes } from "node:crypto";
import { runCommand } from "@isopod/base";

/** A network namespace of the test's own: a host, a guest, or what is outside. */
export class TestNamespace implements AsyncDisposable {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async create(): Promise<TestNamespace> {
    const namespace = new TestNamespace(`isopodtest-${randomBytes(4).toString("hex")}`);
    await runCommand("ip", ["netns", "add", namespace.name]);
    await namespace.ip("link set dev lo up");
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
  async run(program: string, ...args: readonly string[]): Promise<string> {
    return (await runCommand("nsenter", [`--net=/run/netns/${this.name}`, program, ...args])).stdout;
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

  async [Symbol.asyncDispose](): Promise<void> {
    await runCommand("ip", ["netns", "del", this.name]);
  }
}
