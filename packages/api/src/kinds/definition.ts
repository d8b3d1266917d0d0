import type { KubeObject } from "../types/meta.ts";
import type { StatusCause } from "../types/status.ts";
import type { TableCell, TableColumn } from "../types/table.ts";

export const allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] as const;
export type Verb = (typeof allVerbs)[number];

/** A method type, so that a definition of `Pod`s is usable where objects of any kind are handled. */
type Reader<T, Result> = { read(object: T): Result }["read"];

/** All that the API server, tables and validation know of one kind. A kind is one file in this folder. */
export interface ResourceDefinition<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Kubernetes's own: protobuf bodies and strategic merge patches are allowed. */
  readonly builtIn: boolean;
  /** Names of subresources; `subresources.ts` says their kinds and verbs. */
  readonly subresources: readonly string[];
  readonly verbs: readonly Verb[];
  /** Field path to its value as text, for field selectors. */
  readonly selectableFields: Readonly<Record<string, Reader<T, string>>>;
  readonly columns: readonly TableColumn[];
  /** One cell per column. */
  cells(object: T, nowMs: number): readonly TableCell[];
  /** A `status` subresource exists, and the main path does not touch `status`. */
  readonly hasStatus: boolean;
  /** PUT without a resourceVersion overwrites. */
  readonly unconditionalUpdate: boolean;
  /** PUT of what does not exist creates it. */
  readonly allowCreateOnUpdate: boolean;
  /** Part of the main path's `metadata.generation`: `false` where Kubernetes keeps none. */
  readonly hasGeneration: boolean;
  /** Problems with the name, in kube-apiserver's words. */
  nameProblems(name: string): readonly string[];
  /** The object with the kind's defaults filled in. */
  defaults?(object: T): T;
  /** What is wrong with the object, or with the change from `old`. */
  validate?(object: T, old: T | undefined): readonly StatusCause[];
}

/** What a kind's file must say; the rest follows from convention. */
export type ResourceDescription<T extends KubeObject> = Pick<
  ResourceDefinition<T>,
  "group" | "version" | "kind" | "plural" | "namespaced" | "builtIn" | "columns" | "cells" | "nameProblems"
> &
  Partial<ResourceDefinition<T>>;

export function defineResource<T extends KubeObject>(description: ResourceDescription<T>): ResourceDefinition<T> {
  return Object.freeze({
    listKind: `${description.kind}List`,
    singular: description.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    subresources: description.hasStatus === true ? ["status"] : [],
    verbs: allVerbs,
    hasStatus: false,
    unconditionalUpdate: description.builtIn,
    allowCreateOnUpdate: false,
    hasGeneration: !description.builtIn,
    ...description,
    selectableFields: Object.freeze({
      "metadata.name": (object: KubeObject) => object.metadata.name,
      ...(description.namespaced
        ? { "metadata.namespace": (object: KubeObject) => object.metadata.namespace ?? "" }
        : {}),
      ...description.selectableFields,
    }),
  });
}

/** `v1`, `isopod.dev/v1alpha1`. */
export function apiVersionOf(definition: Pick<ResourceDefinition, "group" | "version">): string {
  return definition.group === "" ? definition.version : `${definition.group}/${definition.version}`;
}
