import type { Field, FieldType, LeafKind, ObjectType } from "../schema/object-type.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** Leaves that published documents give a component of their own. */
const leafComponents: Partial<Readonly<Record<LeafKind, readonly [name: string, schema: JsonSchema]>>> = {
  quantity: ["io.k8s.apimachinery.pkg.api.resource.Quantity", { oneOf: [{ type: "string" }, { type: "number" }] }],
  intOrString: [
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
  ],
  time: [`${meta}.Time`, { type: "string", format: "date-time" }],
  microtime: [`${meta}.MicroTime`, { type: "string", format: "date-time" }],
  fields: [`${meta}.FieldsV1`, { type: "object" }],
  raw: [
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  ],
};

const leafSchemas: Partial<Readonly<Record<LeafKind, JsonSchema>>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
};

/** Collects the `components/schemas` of one document: a type brings all that it refers to. */
export class SchemaComponents {
  readonly #schemas = new Map<string, JsonSchema>();

  /** By name, sorted, as documents list them. */
  get schemas(): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#schemas].toSorted(([left], [right]) => (left < right ? -1 : 1)));
  }

  has(name: string): boolean {
    return this.#schemas.has(name);
  }

  set(name: string, schema: JsonSchema): void {
    this.#schemas.set(name, schema);
  }

  /** Adds a type and what it refers to; returns the reference. */
  add(type: ObjectType, extensions: JsonSchema = {}): JsonSchema {
    if (!this.#schemas.has(type.modelName)) {
      // Set before its fields are read: types refer to themselves.
      this.#schemas.set(type.modelName, {});
      const required = [...type.fields.values()].filter((field) => field.isRequired).map((field) => field.name);
      this.#schemas.set(type.modelName, {
        ...describe(type.description),
        type: "object",
        ...(required.length > 0 ? { required } : {}),
        properties: Object.fromEntries([...type.fields.values()].map((field) => [field.name, this.#property(field)])),
        ...(type.isAtomic ? { "x-kubernetes-map-type": "atomic" } : {}),
        ...extensions,
      });
    }
    return reference(type.modelName);
  }

  #property(field: Field): JsonSchema {
    return {
      ...describe(field.description),
      ...this.#schema(field.type),
      ...(field.listType === undefined ? {} : { "x-kubernetes-list-type": field.listType }),
      ...(field.listMapKeys.length === 0 ? {} : { "x-kubernetes-list-map-keys": field.listMapKeys }),
      ...(field.isAtomicMap ? { "x-kubernetes-map-type": "atomic" } : {}),
      ...(field.patchStrategies.length === 0 ? {} : { "x-kubernetes-patch-strategy": field.patchStrategies.join(",") }),
      ...(field.patchMergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": field.patchMergeKey }),
    };
  }

  #schema(type: FieldType): JsonSchema {
    switch (type.kind) {
      case "object":
        return { allOf: [this.add(type.object)] };
      case "list":
        return { type: "array", items: this.#schema(type.element) };
      case "map":
        return { type: "object", additionalProperties: this.#schema(type.value) };
      default:
        return this.#leaf(type.kind);
    }
  }

  #leaf(kind: LeafKind): JsonSchema {
    const component = leafComponents[kind];
    if (component === undefined) return leafSchemas[kind] ?? {};
    const [name, schema] = component;
    this.#schemas.set(name, schema);
    return { allOf: [reference(name)] };
  }
}

export function reference(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

function describe(description: string | undefined): JsonSchema {
  return description === undefined ? {} : { description };
}
