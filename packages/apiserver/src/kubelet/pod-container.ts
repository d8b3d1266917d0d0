import { badRequest, type KubeObject, type Pod, resources } from "@isopod/api";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";
import { isPod } from "../objects/kinds.ts";

/** A container that a request names or means, and the node it runs on. */
export interface PodContainer {
  readonly pod: Pod;
  readonly container: string;
  readonly nodeName: string;
}

const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container";

/** Throws NotFound for the pod, BadRequest for a container it does not have and for a pod without a node. */
export async function podContainer(context: RequestContext, reference: ObjectReference): Promise<PodContainer> {
  const { object } = await context.server.objects.get(resources.pods, reference);
  const pod = asPod(object);
  const container = chooseContainer(pod, context.query.get("container") ?? "");
  const nodeName = pod.spec.nodeName ?? "";
  if (nodeName === "") throw badRequest(`pod ${reference.name} does not have a host assigned`);
  return { pod, container, nodeName };
}

function chooseContainer(pod: Pod, named: string): string {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const { name } = pod.metadata;
  const names = (list: readonly { readonly name: string }[]) => list.map((container) => container.name);
  const all = [...names(containers), ...names(initContainers), ...names(ephemeralContainers)];
  if (named !== "") {
    if (all.includes(named)) return named;
    throw badRequest(`container ${named} is not valid for pod ${name}`);
  }
  const annotated = pod.metadata.annotations?.[defaultContainerAnnotation];
  if (annotated !== undefined && all.includes(annotated)) return annotated;
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return only.name;
  const init =
    initContainers.length === 0 ? "" : ` or one of the init containers: [${names(initContainers).join(" ")}]`;
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${names(containers).join(" ")}]${init}`,
  );
}

function asPod(object: KubeObject): Pod {
  if (isPod(object)) return object;
  throw badRequest(`${object.metadata.name} is not a pod`);
}
