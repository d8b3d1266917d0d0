import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename, join } from "node:path";
import type { AttachedInterface, InterfaceSpec } from "../contract.ts";
import { TestNamespace } from "./namespace.ts";

/** A kernel's network stack behind an instance's tap, configured as the guest agent configures an instance. */
export class TestGuest implements AsyncDisposable {
  readonly namespace: TestNamespace;
  readonly #stop: () => Promise<void>;

  private constructor(namespace: TestNamespace, stop: () => Promise<void>) {
    this.namespace = namespace;
    this.#stop = stop;
  }

  static async start(spec: InterfaceSpec, attached: AttachedInterface): Promise<TestGuest> {
    const namespace = await TestNamespace.create();
    const script = join(import.meta.dirname, "guest.py");
    const child = spawn("python3", [script, basename(attached.namespacePath), attached.tapName, namespace.name]);
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const closed = once(child, "close");
    const guest = new TestGuest(namespace, async () => {
      child.stdin.end();
      await closed;
    });
    await Promise.race([once(child.stdout, "data"), closed]);
    if (child.exitCode !== null) {
      await guest[Symbol.asyncDispose]();
      throw new Error(`the test guest of ${spec.id} did not start: ${stderr}`);
    }
    await namespace.ip(
      `link set dev eth0 address ${spec.macAddress} mtu ${attached.mtu} up`,
      `address add ${spec.address}/32 dev eth0`,
      `route add default via ${attached.gatewayAddress} dev eth0 onlink`,
    );
    return guest;
  }

  /** Runs Python in the guest and returns what it prints. */
  python(script: string): Promise<string> {
    return this.namespace.run("python3", "-c", script);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.namespace[Symbol.asyncDispose]();
  }
}
