import type { RequestOptions } from "node:https";
import { resources, serviceUnavailable } from "@isopod/api";
import type { RequestContext } from "../request-context.ts";
import { isNode } from "../objects/kinds.ts";

/** Where a node's kubelet port is and how to talk to it. */
export type KubeletEndpoint = Pick<
  RequestOptions,
  "host" | "port" | "servername" | "cert" | "key" | "ca" | "agent" | "timeout"
>;

/** In the order kube-apiserver tries them, for machines without a name server. */
const addressTypes = ["InternalIP", "ExternalIP", "InternalDNS", "Hostname"] as const;

/** Finds a node's kubelet. Throws NotFound for the node, ServiceUnavailable when it has no address or port yet. */
export async function kubeletEndpoint(context: RequestContext, nodeName: string): Promise<KubeletEndpoint> {
  const { object } = await context.server.objects.get(resources.nodes, { namespace: "", name: nodeName });
  const status = isNode(object) ? object.status : undefined;
  const port = status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
  const host = addressTypes
    .map((wanted) => status?.addresses?.find(({ type }) => type === wanted)?.address)
    .find((address) => address !== undefined && address !== "");
  if (host === undefined || port <= 0) {
    throw serviceUnavailable(`node ${JSON.stringify(nodeName)} has told no address and port of its kubelet yet`);
  }
  const { certPem, keyPem, caPem } = context.server.options.kubeletClient;
  return {
    host,
    port,
    // The certificate must be that of the node, whatever address it has today.
    servername: nodeName,
    cert: certPem,
    key: keyPem,
    ca: caPem,
    // A stream has its connection to itself: ending it ends the kubelet's side too.
    agent: false,
  };
}
