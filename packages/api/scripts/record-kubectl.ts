/**
 * Records what a real kubectl sends: runs typed commands against a small HTTP server and keeps the bodies, beside the
 * JSON that the same command prints with `--dry-run=client -o json`. The protobuf decoder is tested with the result.
 *
 * Usage: node packages/api/scripts/record-kubectl.ts <path of kubectl> > packages/api/src/codec/testdata/kubectl-<version>.json
 */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const commands: readonly string[] = [
  "create namespace team-a",
  "create configmap settings --from-literal=a=1 --from-literal=b=two",
  "create configmap binary --from-file=FILES/blob.bin",
  "create secret generic login --from-literal=user=admin --from-file=FILES/blob.bin",
  "create secret docker-registry registry --docker-server=registry.test --docker-username=u --docker-password=p",
  "create serviceaccount robot",
  "create token robot --duration=10m --audience=a --audience=b",
  "auth can-i create pods --subresource=exec",
  "auth whoami",
];

const kubectl = process.argv[2];
if (kubectl === undefined) throw new Error("usage: record-kubectl.ts <path of kubectl>");
const directory = await mkdtemp(join(tmpdir(), "record-kubectl-"));
interface Body {
  readonly method: string;
  readonly path: string;
  readonly contentType: string;
  readonly base64: string;
}
let bodies: Body[] = [];
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (request.method === "POST") {
      const contentType = request.headers["content-type"] ?? "";
      bodies.push({ method: request.method, path, contentType, base64: Buffer.concat(chunks).toString("base64") });
    }
    const documents: Readonly<Record<string, unknown>> = {
      "/api": { kind: "APIVersions", versions: ["v1"] },
      "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
      "/api/v1": {
        kind: "APIResourceList",
        groupVersion: "v1",
        resources: [{ name: "pods", singularName: "pod", namespaced: true, kind: "Pod", verbs: ["create"] }],
      },
    };
    const document = documents[path];
    response.writeHead(document === undefined ? 400 : 200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(document ?? { kind: "Status", apiVersion: "v1", status: "Failure", message: "recorded" }),
    );
  });
});
try {
  await writeFile(join(directory, "blob.bin"), Buffer.from([0, 255, 1, 254, 10, 13, 128]));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const flags = ["--server", `http://127.0.0.1:${address.port}`, "--cache-dir", join(directory, "cache")];
  const environment = { env: { PATH: process.env["PATH"], HOME: directory, KUBECONFIG: join(directory, "none") } };
  const recordings: unknown[] = [];
  for (const command of commands) {
    const words = command.replaceAll("FILES", directory).split(" ");
    bodies = [];
    await run(kubectl, [...words, ...flags], environment).catch(() => undefined); // the answer is an error on purpose
    const canDryRun = words[0] === "create" && words[1] !== "token";
    const printed = canDryRun
      ? await run(kubectl, [...words, ...flags, "--dry-run=client", "-o", "json"], environment)
      : undefined;
    recordings.push({
      command,
      bodies,
      ...(printed === undefined ? {} : { dryRun: JSON.parse(printed.stdout) as unknown }),
    });
  }
  process.stdout.write(`${JSON.stringify(recordings, null, 1)}\n`);
} finally {
  server.close();
  await rm(directory, { recursive: true, force: true });
}
