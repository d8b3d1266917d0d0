import type { KubeObject, Namespace, Node, Pod } from "@isopod/api";

/** Objects are validated on their way in: their kind says what they are. */
export function isPod(object: KubeObject): object is Pod {
  return object.kind === "Pod" && object.apiVersion === "v1";
}

export function isNode(object: KubeObject): object is Node {
  return object.kind === "Node" && object.apiVersion === "v1";
}

export function isNamespace(object: KubeObject): object is Namespace {
  return object.kind === "Namespace" && object.apiVersion === "v1";
}
