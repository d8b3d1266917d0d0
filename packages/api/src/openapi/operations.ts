import { acceptedMediaTypes } from "../codec/media-types.ts";
import { apiVersionOf, type ResourceDefinition, type Verb } from "../kinds/definition.ts";
import { acceptedPatchMediaTypes } from "../patch/apply-patch.ts";
import { type JsonSchema, reference } from "./schema-components.ts";

/** Names of component schemas that the operations of one resource refer to. */
export interface ResourceModels {
  readonly object: string;
  readonly list: string;
  readonly deleteOptions: string;
  readonly status: string;
}

const text = { type: "string", uniqueItems: true };
const flag = { type: "boolean", uniqueItems: true };
const count = { type: "integer", uniqueItems: true };

const query = (name: string, schema: JsonSchema): JsonSchema => ({ in: "query", name, schema });
const inPath = (name: string): JsonSchema => ({ in: "path", name, required: true, schema: text });

const writeParameters = [query("dryRun", text), query("fieldManager", text), query("fieldValidation", text)];
const listParameters = [
  query("allowWatchBookmarks", flag),
  query("continue", text),
  query("fieldSelector", text),
  query("labelSelector", text),
  query("limit", count),
  query("resourceVersion", text),
  query("resourceVersionMatch", text),
  query("sendInitialEvents", flag),
  query("timeoutSeconds", count),
  query("watch", flag),
];
const deleteParameters = [
  query("dryRun", text),
  query("gracePeriodSeconds", count),
  query("orphanDependents", flag),
  query("propagationPolicy", text),
];

/**
 * The paths of one resource with their operations. kubectl looks for `fieldValidation` on PATCH (whether the server
 * validates), for the media types of PATCH (how to apply), and `kubectl explain` for the kind of a path.
 */
export function pathsOf(definition: ResourceDefinition, models: ResourceModels): Readonly<Record<string, JsonSchema>> {
  const root = definition.group === "" ? `/api/${definition.version}` : `/apis/${apiVersionOf(definition)}`;
  const scope = definition.namespaced ? "/namespaces/{namespace}" : "";
  const collection = `${root}${scope}/${definition.plural}`;
  const build = new OperationBuilder(definition, models);
  const scopeParameters = definition.namespaced ? [inPath("namespace")] : [];
  const item = { ...build.read(), ...build.write(), parameters: [inPath("name"), ...scopeParameters] };
  return {
    [collection]: { ...build.collection(), parameters: scopeParameters },
    ...(definition.namespaced ? { [`${root}/${definition.plural}`]: build.list() } : {}),
    [`${collection}/{name}`]: { ...item, ...build.remove() },
    ...(definition.hasStatus ? { [`${collection}/{name}/status`]: item } : {}),
  };
}

class OperationBuilder {
  readonly #definition: ResourceDefinition;
  readonly #models: ResourceModels;

  constructor(definition: ResourceDefinition, models: ResourceModels) {
    this.#definition = definition;
    this.#models = models;
  }

  collection(): JsonSchema {
    return {
      ...this.list(),
      ...this.#operation("create", "post", this.#models.object, { parameters: writeParameters, ...this.#body() }),
      ...this.#operation("deletecollection", "delete", this.#models.status, {
        parameters: [...listParameters, ...deleteParameters],
      }),
    };
  }

  list(): JsonSchema {
    return this.#operation("list", "get", this.#models.list, { parameters: listParameters });
  }

  read(): JsonSchema {
    return this.#operation("get", "get", this.#models.object, {});
  }

  write(): JsonSchema {
    return {
      ...this.#operation("update", "put", this.#models.object, { parameters: writeParameters, ...this.#body() }),
      ...this.#operation("patch", "patch", this.#models.object, {
        parameters: [...writeParameters, query("force", flag)],
        requestBody: {
          required: true,
          content: contentOf(acceptedPatchMediaTypes(this.#gvk()), { type: "object" }),
        },
      }),
    };
  }

  remove(): JsonSchema {
    return this.#operation("delete", "delete", this.#models.status, {
      parameters: deleteParameters,
      requestBody: { content: contentOf(["application/json"], reference(this.#models.deleteOptions)) },
    });
  }

  #body(): JsonSchema {
    const { builtIn } = this.#definition;
    return {
      requestBody: { required: true, content: contentOf(acceptedMediaTypes(builtIn), reference(this.#models.object)) },
    };
  }

  #operation(verb: Verb, method: string, answer: string, rest: JsonSchema): JsonSchema {
    const { group, version, kind, verbs } = this.#definition;
    if (!verbs.includes(verb)) return {};
    return {
      [method]: {
        ...rest,
        responses: { "200": { description: "OK", content: contentOf(["application/json"], reference(answer)) } },
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": { group, kind, version },
      },
    };
  }

  #gvk(): { readonly apiVersion: string; readonly kind: string } {
    return { apiVersion: apiVersionOf(this.#definition), kind: this.#definition.kind };
  }
}

function contentOf(mediaTypes: readonly string[], schema: JsonSchema): JsonSchema {
  return Object.fromEntries(mediaTypes.map((mediaType) => [mediaType, { schema }]));
}
