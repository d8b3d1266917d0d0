/** How a list is merged by server-side apply and named in published schemas. */
export type ListType = "atomic" | "set" | "map";

/** Values with a JSON form of their own, beside the plain scalars. */
export type LeafKind =
  | "string"
  | "bool"
  | "int32"
  | "int64"
  | "double"
  | "bytes"
  | "quantity"
  | "time"
  | "microtime"
  | "intOrString"
  /** Any JSON value; in protobuf its JSON text. */
  | "raw"
  /** The tree of owned fields in `metadata.managedFields`. */
  | "fields";

export interface LeafType {
  readonly kind: LeafKind;
  /** The type as Go spells it: decoding errors name it, and clients' users search for that text. */
  readonly goName: string;
}

export interface ListFieldType {
  readonly kind: "list";
  readonly goName: string;
  readonly element: FieldType;
  /** In protobuf a message `{repeated items = 1}`; only as the value of a map. */
  readonly isWrapped: boolean;
}

export interface MapFieldType {
  readonly kind: "map";
  readonly goName: string;
  readonly value: FieldType;
}

export interface ObjectFieldType {
  readonly kind: "object";
  readonly goName: string;
  readonly object: ObjectType;
}

export type FieldType = LeafType | ListFieldType | MapFieldType | ObjectFieldType;

export interface Field {
  readonly name: string;
  /** The name, after those of the Go structs it is flattened from (`VolumeSource.emptyDir`); for error texts. */
  readonly goPath: string;
  readonly type: FieldType;
  /** Number in the protobuf message; 0 = not in it. */
  readonly number: number;
  /** False: an empty value is written all the same, as `""`, `0` or `{}`. */
  readonly isOmittedWhenEmpty: boolean;
  readonly isOmittedWhenZero: boolean;
  /** Absent and zero are different things. */
  readonly isPointer: boolean;
  readonly isRequired: boolean;
  readonly listType: ListType | undefined;
  readonly listMapKeys: readonly string[];
  readonly isAtomicMap: boolean;
  readonly patchStrategies: readonly string[];
  readonly patchMergeKey: string | undefined;
  readonly description: string | undefined;
}

/** One slot of a protobuf message: a field, or an object whose fields are flattened into this one's JSON. */
export type ProtobufSlot =
  | { readonly isInline: false; readonly field: Field }
  | { readonly isInline: true; readonly object: ObjectType };

/** The fields of one JSON object, ready to be walked: built once, looked up by name and by protobuf number. */
export interface ObjectType {
  /** Name in published schemas, such as `io.k8s.api.core.v1.Pod`. */
  readonly modelName: string;
  readonly goName: string;
  readonly isAtomic: boolean;
  readonly description: string | undefined;
  /** By JSON name, flattened objects included, in the order of declaration. */
  readonly fields: ReadonlyMap<string, Field>;
  /** In the order of declaration. */
  readonly slots: readonly ProtobufSlot[];
  readonly slotByNumber: readonly (ProtobufSlot | undefined)[];
}
