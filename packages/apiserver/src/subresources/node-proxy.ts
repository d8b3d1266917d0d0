import { kubeletEndpoint } from "../kubelet/kubelet-endpoint.ts";
import { relay } from "../kubelet/relay.ts";
import type { RequestContext } from "../request-context.ts";

/** `ANY nodes/NAME/proxy/PATH`: the kubelet's own API, both bodies streamed. */
export async function nodeProxy(context: RequestContext, nodeName: string, rest: string): Promise<void> {
  const endpoint = await kubeletEndpoint(context, nodeName);
  const path = `${rest === "" ? "/" : rest}${context.url.search}`;
  const method = context.request.method ?? "GET";
  await relay(context, endpoint, { method, path, withBody: true });
}
