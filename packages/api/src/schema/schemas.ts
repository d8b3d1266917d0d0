import { kubernetesTypes } from "../generated/kubernetes-types.ts";
import { isopodApiVersion } from "../types/isopod.ts";
import { isopodTypes } from "./isopod-kinds.ts";
import type { ObjectType } from "./object-type.ts";
import { type KindType, parseObjectTypes } from "./parse-object-types.ts";

interface Schemas {
  readonly builtInKinds: readonly KindType[];
  readonly isopodKinds: readonly KindType[];
  readonly builtInTypes: ReadonlyMap<string, ObjectType>;
  readonly isopodTypes: ReadonlyMap<string, ObjectType>;
}

let parsed: Schemas | undefined;

/** Read when the first is asked for: it takes 5 ms, and a client of the API never asks. */
function schemas(): Schemas {
  if (parsed !== undefined) return parsed;
  // Together, because our kinds are made of Kubernetes's types too: metadata, and the pod of a snapshot.
  const all = parseObjectTypes(`${kubernetesTypes}\n${isopodTypes}`);
  const isOurs = ({ apiVersion }: KindType): boolean => apiVersion === isopodApiVersion;
  const builtIn = all.filter((kind) => !isOurs(kind));
  const ours = all.filter(isOurs);
  parsed = {
    builtInKinds: builtIn,
    isopodKinds: ours,
    builtInTypes: typesByKind(builtIn),
    isopodTypes: typesByKind(ours),
  };
  return parsed;
}

/** Kubernetes's own kinds: protobuf bodies and strategic merge patches are theirs only. */
export function builtInKinds(): readonly KindType[] {
  return schemas().builtInKinds;
}

/** The kinds of `isopod.dev`. */
export function isopodKinds(): readonly KindType[] {
  return schemas().isopodKinds;
}

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
  return findBuiltInType(apiVersion, kind) ?? schemas().isopodTypes.get(`${apiVersion} ${kind}`);
}

/** The same for Kubernetes's own kinds alone. */
export function findBuiltInType(apiVersion: string, kind: string): ObjectType | undefined {
  return schemas().builtInTypes.get(`${isKindOfEveryGroup(kind) ? "v1" : apiVersion} ${kind}`);
}

function typesByKind(kinds: readonly KindType[]): ReadonlyMap<string, ObjectType> {
  return new Map(kinds.map(({ apiVersion, kind, type }) => [`${apiVersion} ${kind}`, type]));
}
