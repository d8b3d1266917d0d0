import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { AttachedInterface, HostNetwork, InterfaceSpec, TapSpec } from "../contract.ts";
import { NetworkError, type NetworkErrorCode } from "../network-error.ts";
import type { HostRequest } from "./host-process.ts";
import { TestNamespace } from "./namespace.ts";

type Child = ChildProcessByStdio<Writable, Readable, null>;
type Reply = {
  number: number;
  value?: unknown;
  error?: string;
  code?: NetworkErrorCode;
  remedy?: string;
  spawned: number;
};

const answered = Promise.resolve();

/** A host that is a namespace of the test's own, and the host network that runs on it. */
export class TestHost implements HostNetwork, AsyncDisposable {
  readonly namespace: TestNamespace;
  readonly installation = `t${randomBytes(4).toString("hex")}`;
  /** Programs the last answered request started. */
  lastSpawned = 0;
  #child: Child | undefined;
  #requests = 0;
  readonly #pending = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();

  private constructor(namespace: TestNamespace) {
    this.namespace = namespace;
  }

  static async create(): Promise<TestHost> {
    const host = new TestHost(await TestNamespace.create());
    await host.start();
    return host;
  }

  /** Starts the host network; it kills itself after `callsLeft` programs, half-way through the next. */
  async start(callsLeft = -1): Promise<void> {
    const script = join(import.meta.dirname, "host-process.ts");
    const child: Child = spawn(
      "nsenter",
      [`--net=/run/netns/${this.namespace.name}`, process.execPath, script, this.installation, String(callsLeft)],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    this.#child = child;
    // A request to a process that is being killed is answered by its end.
    child.stdin.on("error", () => {});
    const lines = createInterface({ input: child.stdout });
    child.on("close", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the host process ended"));
      this.#pending.clear();
    });
    await Promise.race([once(lines, "line"), once(child, "close")]);
    lines.on("line", (line) => {
      const reply: Reply = JSON.parse(line);
      this.#pending.get(reply.number)?.resolve(reply);
      this.#pending.delete(reply.number);
    });
  }

  /** Ends the process as a crash does; the network stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "close");
  }

  async prepare(spec: TapSpec): Promise<void> {
    await this.#ask({ method: "prepare", spec });
  }

  /** Resolves when the interface is open. */
  async attach(spec: InterfaceSpec): Promise<AttachedInterface> {
    const value = await this.#ask({ method: "attach", spec });
    // The answer of our own code in another process of this test; promises do not travel.
    return { ...(value as AttachedInterface), opened: answered };
  }

  async detach(id: string): Promise<void> {
    await this.#ask({ method: "detach", id });
  }

  async list(): Promise<readonly string[]> {
    return (await this.#ask({ method: "list" })) as string[];
  }

  /** Everything of this installation that is on the host: namespaces, links, tables. */
  async leftovers(): Promise<readonly string[]> {
    const namespaces = (await readdir("/run/netns")).filter((name) => name.startsWith(`isopod-${this.installation}-`));
    const links = (await this.namespace.run("ip", "-o", "link")).match(/\bisn[0-9a-f]+/g) ?? [];
    const tables = (await this.namespace.run("nft", "list", "tables")).match(/\bisopod_\w+/g) ?? [];
    return [...namespaces, ...links, ...tables];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.start();
    for (const id of await this.list()) await this.detach(id);
    await this.kill();
    await this.namespace[Symbol.asyncDispose]();
  }

  async #ask(request: HostRequest): Promise<unknown> {
    const child = this.#child;
    if (child === undefined) throw new Error("the host process is not running");
    const number = this.#requests++;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#pending.set(number, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ number, request })}\n`);
    });
    this.lastSpawned = reply.spawned;
    if (reply.error === undefined) return reply.value;
    if (reply.code === undefined) throw new Error(reply.error);
    const remedy = reply.remedy === undefined ? {} : { remedy: reply.remedy };
    throw new NetworkError(reply.error, { code: reply.code, object: "", ...remedy });
  }
}
