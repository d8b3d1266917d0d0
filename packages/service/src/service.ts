import { mkdir, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { type ApiServer, ensureCertificates, startApiServer, writeKubeconfig } from "@isopod/apiserver";
import { type Clock, describeError, type Logger, systemClock, writeFileAtomically } from "@isopod/base";
import { Informer, KubeClient } from "@isopod/client";
import { type NetworkInterface, resources } from "@isopod/api";
import { allControllers } from "@isopod/controllers";
import { guestArtifacts, kernelCommandLine } from "@isopod/guest";
import { openImageStore } from "@isopod/image";
import { BillingApi, billingGroup, billingVersion, Meter, openSqliteLedger } from "@isopod/meter";
import { createHostNetwork } from "@isopod/network";
import { NodeAgent } from "@isopod/node";
import { Scheduler } from "@isopod/scheduler";
import { openSqliteStore } from "@isopod/store";
import { createQemuVmm } from "@isopod/vmm";
import { createScratchDisks } from "@isopod/volume";
import { ensureAdminToken } from "./admin-token.ts";
import { keepUsedVpcs } from "./keep-used-vpcs.ts";
import { ServiceError } from "./service-error.ts";
import { checkSettings, firstUserId, installationId, type ServiceSettings, servicePaths } from "./settings.ts";

/** One instance of a VPC after another, each on its own, is to find its router there. */
const routerIdleMs = 600_000;

/** The version told to Kubernetes clients, and ours. */
const kubeletVersion = "v1.35.0+isopod";

export interface RunningService {
  readonly url: string;
  readonly kubeconfigPath: string;
  /** Ends the service; instances go on. */
  stop(): Promise<void>;
}

/** Called as each part comes up, for people who wait. */
export type OnProgress = (step: string) => void;

/** Throws {@link ServiceError} `NotRoot`. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new ServiceError("isopod up needs root: it makes network namespaces, taps and jails", {
    code: "NotRoot",
    stage: "start",
    remedy: "Run it as root, or with sudo. The client commands need no root.",
  });
}

/**
 * Starts a whole installation in this process: API server over SQLite, controllers, scheduler, meter, node agent. The
 * parts speak to each other through the Kubernetes API only, each with its own credential.
 *
 * Throws the error of the part that cannot start; what was started before it is stopped again.
 */
export async function startService(
  settings: ServiceSettings,
  logger: Logger,
  onProgress: OnProgress = () => {},
  clock: Clock = systemClock,
): Promise<RunningService> {
  checkSettings(settings);
  requireRoot();
  const dataDirectory = resolve(settings.dataDirectory);
  const paths = servicePaths(dataDirectory);
  // Searchable for the VMs' own users, listable for root only.
  await mkdir(dataDirectory, { recursive: true, mode: 0o711 });
  for (const directory of [paths.instances, paths.cache]) await mkdir(directory, { recursive: true, mode: 0o711 });
  // VMs get their disks as open descriptors: nobody else need read images.
  for (const directory of [paths.images, paths.scratch]) await mkdir(directory, { recursive: true, mode: 0o700 });
  await mkdir(resolve(paths.ledger, ".."), { recursive: true, mode: 0o700 });

  const ended = new AbortController();
  const loops: Promise<unknown>[] = [];
  // Undone in reverse when a later part fails, or at the end.
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    ended.abort(new Error("the service stops"));
    await Promise.allSettled(loops);
    for (const step of undo.splice(0).toReversed()) {
      await step().catch((error: unknown) =>
        logger.warn({ reason: describeError(error) }, "a part did not stop cleanly"),
      );
    }
  };
  try {
    onProgress("API server");
    const store = await openSqliteStore({ path: paths.database, clock, logger });
    undo.push(async () => await store[Symbol.asyncDispose]());
    // The store's lock is ours now: what a crash left behind speaks of nobody any more.
    await rm(paths.ready, { force: true });
    const certificates = await ensureCertificates({
      directory: paths.certificates,
      hosts: [settings.host],
      nodeNames: [settings.nodeName],
      clock,
    });
    const token = await ensureAdminToken(paths.token);
    const ledger = openSqliteLedger(paths.ledger);
    undo.push(async () => await ledger[Symbol.asyncDispose]());

    let billing: BillingApi | undefined;
    let interfaces: () => Promise<readonly NetworkInterface[]> = async () => [];
    const apiServer: ApiServer = await startApiServer({
      store,
      clock,
      logger: logger.child({ part: "apiserver" }),
      host: settings.host,
      port: settings.port,
      tls: { ...certificates.server, clientCaPem: certificates.caPem },
      tokens: [{ token, user: "isopod-admin", groups: ["system:masters"] }],
      kubeletClient: { ...certificates.kubeletClient, caPem: certificates.caPem },
      admission: [keepUsedVpcs(async () => await interfaces())],
      aggregated: [
        {
          group: billingGroup,
          version: billingVersion,
          resources: [
            { name: "prices", singularName: "price", namespaced: false, kind: "PriceQuote", verbs: ["get"] },
            { name: "invoices", singularName: "invoice", namespaced: false, kind: "Invoice", verbs: ["get"] },
          ],
          handle: async ({ path, query }) => {
            const body =
              billing === undefined
                ? undefined
                : path === "/prices"
                  ? await billing.price(query)
                  : path === "/invoices"
                    ? await billing.invoice(query)
                    : undefined;
            return body === undefined
              ? {
                  status: 404,
                  body: {
                    kind: "Status",
                    apiVersion: "v1",
                    metadata: {},
                    status: "Failure",
                    reason: "NotFound",
                    message: `the billing API has no ${path}`,
                    code: 404,
                  },
                }
              : { status: 200, body };
          },
        },
      ],
    });
    undo.push(async () => await apiServer.close());

    const connect = (user: string, credential: { readonly certPem: string; readonly keyPem: string }): KubeClient => {
      const client = new KubeClient({
        server: apiServer.url,
        caPem: certificates.caPem,
        ...credential,
        userAgent: `isopod-${user}`,
      });
      undo.push(async () => client[Symbol.dispose]());
      return client;
    };
    const start = (name: string, run: (signal: AbortSignal) => Promise<void>): void => {
      loops.push(
        run(ended.signal).catch((error: unknown) => {
          if (!ended.signal.aborted)
            logger.error({ part: name, reason: describeError(error) }, "a part of the service ended");
        }),
      );
    };

    onProgress("controllers, scheduler and meter");
    const client = connect("controllers", certificates.admin);
    for (const controller of allControllers({ client, clock, logger: logger.child({ part: "controllers" }) })) {
      start(controller.name, async (signal) => await controller.run(signal));
    }
    interfaces = async () => (await client.list(resources.networkinterfaces)).items;
    const schedulerClient = connect("scheduler", certificates.admin);
    const informing = { client: schedulerClient, clock, logger: logger.child({ part: "scheduler" }) };
    const pods = new Informer(resources.pods, informing);
    const nodes = new Informer(resources.nodes, informing);
    const scheduler = new Scheduler({ ...informing, pods, nodes });
    start("scheduler", async (signal) => await scheduler.run(signal));
    start("scheduler pods", async (signal) => await pods.run(signal));
    start("scheduler nodes", async (signal) => await nodes.run(signal));
    const meterClient = connect("meter", certificates.admin);
    const meter = new Meter({ client: meterClient, ledger, clock, logger: logger.child({ part: "meter" }) });
    billing = new BillingApi({ client: meterClient, ledger, meter, clock });
    start("meter", async (signal) => await meter.run(signal));

    onProgress("guest kernel and accelerator");
    const artifacts = await guestArtifacts(paths.cache);
    const vmm = await createQemuVmm({
      cacheDirectory: paths.cache,
      kernelPath: artifacts.kernelPath,
      initramfsPath: artifacts.initramfsPath,
      commandLine: kernelCommandLine,
      accelerator: settings.accelerator,
      logger: logger.child({ part: "vmm" }),
      clock,
    });
    undo.push(async () => await vmm.close());
    onProgress("node agent");
    const images = await openImageStore({
      directory: paths.images,
      logger: logger.child({ part: "images" }),
      clock,
      stallTimeoutMs: settings.registryStallMs,
    });
    undo.push(async () => await images[Symbol.asyncDispose]());
    const network = await createHostNetwork({
      installation: installationId(dataDirectory),
      logger: logger.child({ part: "network" }),
      idleMs: routerIdleMs,
    });
    undo.push(async () => await network[Symbol.asyncDispose]());
    const nodeCertificates = certificates.nodes.get(settings.nodeName);
    if (nodeCertificates === undefined) throw new Error(`no certificate was made for node ${settings.nodeName}`);
    const agent = new NodeAgent({
      client: connect(`node-agent-${settings.nodeName}`, nodeCertificates.client),
      clock,
      logger: logger.child({ part: "node" }),
      vmm,
      images,
      network,
      scratch: createScratchDisks({ directory: paths.scratch, logger: logger.child({ part: "scratch" }) }),
      instancesDirectory: paths.instances,
      settings: {
        name: settings.nodeName,
        hostIP: settings.host === "0.0.0.0" ? "127.0.0.1" : settings.host,
        cpuOvercommit: settings.cpuOvercommit,
        memoryOvercommit: settings.memoryOvercommit,
        maxPods: settings.maxPods,
        labels: {},
        version: kubeletVersion,
        runtimeVersion: `${vmm.version} (${vmm.accelerator.name})`,
      },
      kubeletPort: settings.kubeletPort,
      kubeletTls: { ...nodeCertificates.serving, clientCaPem: certificates.caPem },
      firstUserId: firstUserId(dataDirectory),
    });
    undo.push(async () => await agent.stop());
    await agent.start();

    await writeKubeconfig(paths.kubeconfig, {
      server: apiServer.url,
      caPem: certificates.caPem,
      credential: { token },
    });
    await writeFileAtomically(paths.ready, JSON.stringify({ url: apiServer.url, pid: process.pid }), 0o644);
    undo.push(async () => await rm(paths.ready, { force: true }));
    logger.info(
      { url: apiServer.url, kubeconfig: paths.kubeconfig, accelerator: vmm.accelerator.name },
      "isopod is up; every credential it has written is an administrator's, the node agent has its own",
    );
    return { url: apiServer.url, kubeconfigPath: paths.kubeconfig, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
