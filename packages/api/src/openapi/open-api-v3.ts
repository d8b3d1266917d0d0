import { createHash } from "node:crypto";
import { apiVersionOf, type ResourceDefinition } from "../kinds/definition.ts";
import { resourceDefinitions } from "../kinds/index.ts";
import type { ObjectType } from "../schema/object-type.ts";
import { builtInKinds, findObjectType, isopodKinds } from "../schema/schemas.ts";
import { pathsOf, type ResourceModels } from "./operations.ts";
import { type JsonSchema, reference, SchemaComponents } from "./schema-components.ts";

/** A document ready to be served. */
export interface OpenApiV3Document {
  /** Compact JSON. */
  readonly json: string;
  /** Of the JSON: for `?hash=` in the index, and the ETag. */
  readonly hash: string;
}

/** The answer to `/openapi/v3`. */
export interface OpenApiV3Index {
  readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>>;
}

const listMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const documents = new Map<string, OpenApiV3Document>();

/** Every group version that is served, with the URL of its document. */
export function openApiV3Index(): OpenApiV3Index {
  const paths: Record<string, { readonly serverRelativeURL: string }> = {};
  for (const path of documentPaths()) {
    const document = openApiV3Document(path);
    if (document !== undefined) paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${document.hash}` };
  }
  return { paths };
}

/**
 * The document of one group version, by the path it has in the index (`api/v1`, `apis/isopod.dev/v1alpha1`);
 * undefined when none is served there. Made on first use and kept: a few hundred KiB for the core group.
 */
export function openApiV3Document(path: string): OpenApiV3Document | undefined {
  const known = documents.get(path);
  if (known !== undefined) return known;
  const definitions = resourceDefinitions.filter((definition) => pathOf(apiVersionOf(definition)) === path);
  if (definitions.length === 0) return undefined;
  const json = JSON.stringify(makeDocument(definitions));
  const hash = createHash("sha256").update(json).digest("hex").slice(0, 32).toUpperCase();
  const document = Object.freeze({ json, hash });
  documents.set(path, document);
  return document;
}

function documentPaths(): readonly string[] {
  return [...new Set(resourceDefinitions.map((definition) => pathOf(apiVersionOf(definition))))].toSorted();
}

function pathOf(apiVersion: string): string {
  return apiVersion.includes("/") ? `apis/${apiVersion}` : `api/${apiVersion}`;
}

function makeDocument(definitions: readonly ResourceDefinition[]): JsonSchema {
  const components = new SchemaComponents();
  const apiVersion = definitions.map(apiVersionOf)[0] ?? "";
  // Other kinds of the group version that clients post, such as Binding, come with it.
  for (const kind of [...builtInKinds(), ...isopodKinds()]) {
    if (kind.apiVersion === apiVersion) components.add(kind.type, kindExtension(kind.apiVersion, kind.kind));
  }
  const deleteOptions = requireType(apiVersion, "DeleteOptions");
  const status = requireType(apiVersion, "Status");
  components.add(deleteOptions, kindExtension(apiVersion, "DeleteOptions"));
  components.add(status, kindExtension("v1", "Status"));
  const paths: Record<string, JsonSchema> = {};
  for (const definition of definitions) {
    const object = requireType(apiVersion, definition.kind);
    const models: ResourceModels = {
      object: object.modelName,
      list: addList(components, definition, object),
      deleteOptions: deleteOptions.modelName,
      status: status.modelName,
    };
    Object.assign(paths, pathsOf(definition, models));
  }
  return {
    openapi: "3.0.0",
    info: { title: "Isopod", version: "unversioned" },
    paths,
    components: { schemas: components.schemas },
  };
}

function requireType(apiVersion: string, kind: string): ObjectType {
  const type = findObjectType(apiVersion, kind);
  if (type === undefined) throw new Error(`${apiVersion} ${kind} is served but has no schema`);
  return type;
}

function addList(components: SchemaComponents, definition: ResourceDefinition, object: ObjectType): string {
  if (!components.has(listMeta)) {
    const string = { type: "string" };
    components.set(listMeta, {
      type: "object",
      properties: {
        continue: string,
        remainingItemCount: { type: "integer", format: "int64" },
        resourceVersion: string,
        selfLink: string,
      },
    });
  }
  const name = `${object.modelName}List`;
  components.set(name, {
    type: "object",
    required: ["items"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { allOf: [reference(listMeta)] },
      items: { type: "array", items: { allOf: [reference(object.modelName)] } },
    },
    ...kindExtension(apiVersionOf(definition), definition.listKind),
  });
  return name;
}

function kindExtension(apiVersion: string, kind: string): JsonSchema {
  const slash = apiVersion.indexOf("/");
  const group = apiVersion.slice(0, Math.max(slash, 0));
  return { "x-kubernetes-group-version-kind": [{ group, kind, version: apiVersion.slice(slash + 1) }] };
}
