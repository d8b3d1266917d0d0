import { type Binding, conflict, invalid, type KubeObject, type Pod, type PodCondition, resources } from "@isopod/api";
import { sendJson } from "../http/answer.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import { timeOf } from "../objects/parts.ts";
import type { RequestContext } from "../request-context.ts";
import { readObject } from "../verbs/body-object.ts";
import { changeObject } from "../verbs/change-object.ts";
import { isPod } from "../objects/kinds.ts";

/** `POST pods/NAME/binding`: the scheduler's one word. A pod is bound once. */
export async function bind(context: RequestContext, reference: ObjectReference): Promise<void> {
  const { isDryRun, fieldValidation } = parseWriteOptions(context.query, "CreateOptions");
  const body: KubeObject & Partial<Pick<Binding, "target">> = await readObject(
    context,
    { apiVersion: "v1", kind: "Binding" },
    fieldValidation,
  );
  const nodeName = body.target?.name ?? "";
  const kind = body.target?.kind ?? "";
  if (nodeName === "" || (kind !== "" && kind !== "Node")) {
    const cause =
      nodeName === ""
        ? ({ reason: "FieldValueRequired", message: "Required value", field: "target.name" } as const)
        : ({
            reason: "FieldValueNotSupported",
            message: `Unsupported value: ${JSON.stringify(kind)}: supported values: "Node"`,
            field: "target.kind",
          } as const);
    throw invalid({ group: "", kind: "Binding" }, reference.name, [cause]);
  }
  const nowMs = context.server.options.clock.nowMs();
  await changeObject(context.server.objects, resources.pods, reference, isDryRun, (current) => {
    if (!isPod(current)) throw conflict(resources.pods, reference.name);
    return boundPod(current, body, nodeName, nowMs);
  });
  sendJson(
    context.response,
    201,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }),
    context.warnings,
  );
}

function boundPod(pod: Pod, binding: KubeObject, nodeName: string, nowMs: number): Pod {
  const { name, uid, deletionTimestamp } = pod.metadata;
  const wanted = binding.metadata.uid ?? "";
  if (wanted !== "" && wanted !== uid) {
    throw conflict(
      resources.pods,
      name,
      `Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${uid}`,
    );
  }
  if (deletionTimestamp !== undefined) {
    throw conflict(resources.pods, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const assigned = pod.spec.nodeName ?? "";
  if (assigned !== "") {
    throw conflict(resources.pods, name, `pod ${name} is already assigned to node ${JSON.stringify(assigned)}`);
  }
  const { annotations } = binding.metadata;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(annotations === undefined ? {} : { annotations: { ...pod.metadata.annotations, ...annotations } }),
    },
    spec: { ...pod.spec, nodeName },
    status: { ...pod.status, conditions: scheduled(pod.status?.conditions ?? [], nowMs) },
  };
}

function scheduled(conditions: readonly PodCondition[], nowMs: number): readonly PodCondition[] {
  const others = conditions.filter(({ type }) => type !== "PodScheduled");
  return [...others, { type: "PodScheduled", status: "True", lastTransitionTime: timeOf(nowMs) }];
}
