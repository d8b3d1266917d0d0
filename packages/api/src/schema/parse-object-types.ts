import type { Field, FieldType, LeafKind, ListType, ObjectType, ProtobufSlot } from "./object-type.ts";

/** A kind and the type of its objects, as declared by a `*` line. */
export interface KindType {
  readonly apiVersion: string;
  readonly kind: string;
  readonly type: ObjectType;
}

const leafKinds: Readonly<Record<string, readonly [LeafKind, goName: string]>> = {
  str: ["string", "string"],
  bool: ["bool", "bool"],
  i32: ["int32", "int32"],
  i64: ["int64", "int64"],
  f64: ["double", "float64"],
  bytes: ["bytes", "[]uint8"],
  quantity: ["quantity", "resource.Quantity"],
  time: ["time", "v1.Time"],
  microtime: ["microtime", "v1.MicroTime"],
  intstr: ["intOrString", "intstr.IntOrString"],
  raw: ["raw", "runtime.RawExtension"],
  fields: ["fields", "v1.FieldsV1"],
};

interface Draft extends ObjectType {
  isDeclared: boolean;
  isAtomic: boolean;
  description: string | undefined;
  readonly fields: Map<string, Field>;
  readonly slots: ProtobufSlot[];
  readonly slotByNumber: (ProtobufSlot | undefined)[];
}

/**
 * Reads the compact notation of types that `generated/` and `isopod-kinds.ts` share, one thing a line:
 *
 *     * <apiVersion> <Kind> <type>
 *     = <type> [map=atomic] [-- description]
 *     <field> <field type> <protobuf number> <flags> [list=… keys=… map=… patch=… mergeKey=…] [-- description]
 *     > <type> <protobuf number>                      fields of that type, flattened in JSON
 *
 * Field types: `str bool i32 i64 f64 bytes quantity time microtime intstr raw fields`, `[]T`, `{}T` (map from string),
 * `<>T` (list that is a message of its own in protobuf), each with an optional Go name before it (`@v1.Protocol:str`),
 * or the name of a type. Flags: `o` omitted when empty, `z` omitted when zero, `p` pointer, `r` required, `-` none.
 * Types starting with `api.` and `apimachinery.` are Kubernetes's own. Throws on a line it cannot read.
 */
export function parseObjectTypes(text: string): readonly KindType[] {
  const drafts = new Map<string, Draft>();
  const kinds: KindType[] = [];
  let current: Draft | undefined;
  const inlines: { readonly owner: Draft; readonly object: Draft }[] = [];

  const draftOf = (id: string): Draft => {
    let draft = drafts.get(id);
    if (draft === undefined) {
      const isKubernetes = id.startsWith("api.") || id.startsWith("apimachinery.");
      draft = {
        modelName: isKubernetes ? `io.k8s.${id}` : id,
        goName: id.split(".").slice(-2).join("."),
        isDeclared: false,
        isAtomic: false,
        description: undefined,
        fields: new Map(),
        slots: [],
        slotByNumber: [],
      };
      drafts.set(id, draft);
    }
    return draft;
  };

  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [declaration = "", description] = line.split(" -- ");
    const words = declaration.split(" ");
    const [first = "", second = "", third = "", fourth = ""] = words;
    if (first === "*") {
      kinds.push({ apiVersion: second, kind: third, type: draftOf(fourth) });
      continue;
    }
    if (first === "=") {
      current = draftOf(second);
      current.isDeclared = true;
      current.isAtomic = third === "map=atomic";
      current.description = description;
      continue;
    }
    if (current === undefined) throw new Error(`a field before any type: ${line}`);
    if (first === ">") {
      const object = draftOf(second);
      const slot: ProtobufSlot = { isInline: true, object };
      current.slots.push(slot);
      current.slotByNumber[Number(third)] = slot;
      inlines.push({ owner: current, object });
      continue;
    }
    const field = parseField(words, description, draftOf);
    current.fields.set(field.name, field);
    const slot: ProtobufSlot = { isInline: false, field };
    current.slots.push(slot);
    if (field.number > 0) current.slotByNumber[field.number] = slot;
  }
  for (const { owner, object } of inlines) flatten(owner, object, "");
  for (const draft of drafts.values()) {
    if (!draft.isDeclared) throw new Error(`type ${draft.modelName} is used but not declared`);
  }
  return kinds;
}

function flatten(owner: Draft, object: ObjectType, outerPath: string): void {
  const path = `${outerPath}${object.goName.slice(object.goName.lastIndexOf(".") + 1)}.`;
  for (const slot of object.slots) {
    if (slot.isInline) flatten(owner, slot.object, path);
    else owner.fields.set(slot.field.name, { ...slot.field, goPath: `${path}${slot.field.name}` });
  }
}

function parseField(
  words: readonly string[],
  description: string | undefined,
  typeOf: (id: string) => ObjectType,
): Field {
  const [name, type, number, flags, ...rest] = words;
  if (name === undefined || type === undefined || number === undefined || flags === undefined) {
    throw new Error(`not a field: ${words.join(" ")}`);
  }
  const options = new Map(rest.map((word) => word.split("=", 2) as [string, string]));
  return {
    name,
    goPath: name,
    type: parseType(type, typeOf),
    number: Number(number),
    isOmittedWhenEmpty: flags.includes("o"),
    isOmittedWhenZero: flags.includes("z"),
    isPointer: flags.includes("p"),
    isRequired: flags.includes("r"),
    listType: options.get("list") as ListType | undefined,
    listMapKeys: options.get("keys")?.split(",") ?? [],
    isAtomicMap: options.get("map") === "atomic",
    patchStrategies: options.get("patch")?.split(",") ?? [],
    patchMergeKey: options.get("mergeKey"),
    description,
  };
}

function parseType(text: string, typeOf: (id: string) => ObjectType): FieldType {
  if (text.startsWith("@")) {
    const colon = text.indexOf(":");
    return { ...parseType(text.slice(colon + 1), typeOf), goName: text.slice(1, colon) };
  }
  if (text.startsWith("[]") || text.startsWith("<>")) {
    const element = parseType(text.slice(2), typeOf);
    return { kind: "list", goName: `[]${element.goName}`, element, isWrapped: text.startsWith("<>") };
  }
  if (text.startsWith("{}")) {
    const value = parseType(text.slice(2), typeOf);
    return { kind: "map", goName: `map[string]${value.goName}`, value };
  }
  const leaf = leafKinds[text];
  if (leaf !== undefined) return { kind: leaf[0], goName: leaf[1] };
  if (!text.includes(".")) throw new Error(`unknown field type ${text}`);
  const object = typeOf(text);
  return { kind: "object", goName: object.goName, object };
}
