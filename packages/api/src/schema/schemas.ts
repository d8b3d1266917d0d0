import { kubernetesTypes } from "../generated/kubernetes-types.ts";
import { isopodApiVersion } from "../types/isopod.ts";
import { isopodTypes } from "./isopod-kinds.ts";
import type { ObjectType } from "./object-type.ts";
import { type KindType, parseObjectTypes } from "./parse-object-types.ts";

/** Together, because our kinds are made of Kubernetes's types too: metadata, and the pod of a snapshot. */
const allKinds = parseObjectTypes(`${kubernetesTypes}\n${isopodTypes}`);
const isOurs = ({ apiVersion }: KindType): boolean => apiVersion === isopodApiVersion;

/** Kubernetes's own kinds: protobuf bodies and strategic merge patches are theirs only. */
export const builtInKinds: readonly KindType[] = allKinds.filter((kind) => !isOurs(kind));
/** The kinds of `isopod.dev`. */
export const isopodKinds: readonly KindType[] = allKinds.filter(isOurs);

const builtInTypes = typesByKind(builtInKinds);
const isopodTypesByKind = typesByKind(isopodKinds);

/** Kinds that clients send under the group version of the request they belong to. */
const kindsOfEveryGroup: ReadonlySet<string> = new Set([
  "CreateOptions",
  "DeleteOptions",
  "GetOptions",
  "ListOptions",
  "PatchOptions",
  "Status",
  "UpdateOptions",
]);

/** `DeleteOptions` and such: a body of one may name any group version. */
export function isKindOfEveryGroup(kind: string): boolean {
  return kindsOfEveryGroup.has(kind);
}

/** The type of the objects of a kind, or undefined when it has no schema here. */
export function findObjectType(apiVersion: string, kind: string): ObjectType | undefined {
  return findBuiltInType(apiVersion, kind) ?? isopodTypesByKind.get(`${apiVersion} ${kind}`);
}

/** The same for Kubernetes's own kinds alone. */
export function findBuiltInType(apiVersion: string, kind: string): ObjectType | undefined {
  return builtInTypes.get(`${isKindOfEveryGroup(kind) ? "v1" : apiVersion} ${kind}`);
}

function typesByKind(kinds: readonly KindType[]): ReadonlyMap<string, ObjectType> {
  return new Map(kinds.map(({ apiVersion, kind, type }) => [`${apiVersion} ${kind}`, type]));
}
