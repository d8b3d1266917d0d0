import { dns1123SubdomainProblems } from "../names.ts";
import { podCells, podColumns } from "../tables/pod.ts";
import type { Pod } from "../types/pod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const pods = defineResource<Pod>({
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  builtIn: true,
  hasStatus: true,
  hasGeneration: true,
  subresources: ["status", "binding", "log", "exec", "eviction"],
  selectableFields: {
    "spec.nodeName": (pod) => pod.spec.nodeName ?? "",
    "spec.restartPolicy": (pod) => pod.spec.restartPolicy ?? "",
    "spec.schedulerName": (pod) => pod.spec.schedulerName ?? "",
    "spec.serviceAccountName": (pod) => pod.spec.serviceAccountName ?? "",
    "spec.hostNetwork": (pod) => String(pod.spec.hostNetwork ?? false),
    "status.phase": (pod) => pod.status?.phase ?? "",
    "status.podIP": (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
    "status.podIPs": (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
    "status.nominatedNodeName": (pod) => pod.status?.nominatedNodeName ?? "",
  },
  columns: podColumns,
  cells: podCells,
  nameProblems: dns1123SubdomainProblems,
  defaults: (object) => rules().defaultPod(object),
  validate: (object, old) => rules().validatePod(object, old),
});
