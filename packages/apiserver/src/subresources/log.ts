import { kubeletEndpoint } from "../kubelet/kubelet-endpoint.ts";
import { podContainer } from "../kubelet/pod-container.ts";
import { relayText } from "../kubelet/relay.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";

/** `PodLogOptions`, which the kubelet takes under the same names. */
const logParameters = [
  "follow",
  "previous",
  "timestamps",
  "sinceSeconds",
  "sinceTime",
  "tailLines",
  "limitBytes",
  "stream",
] as const;

/** `GET pods/NAME/log`: the kubelet's text as it comes. */
export async function log(context: RequestContext, reference: ObjectReference): Promise<void> {
  const { container, nodeName } = await podContainer(context, reference);
  const endpoint = await kubeletEndpoint(context, nodeName);
  const query = new URLSearchParams();
  for (const name of logParameters) {
    const value = context.query.get(name);
    if (value !== null && value !== "") query.set(name, value);
  }
  const where = [reference.namespace, reference.name, container].map(encodeURIComponent).join("/");
  await relayText(context, endpoint, `/containerLogs/${where}?${query}`);
}
