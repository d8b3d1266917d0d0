import { canonicalQuantity } from "../schema/field-value.ts";
import { type JsonObject, setOwn, zeroValue } from "../schema/conform.ts";
import type { Field, FieldType, LeafType, ListFieldType, MapFieldType, ObjectType } from "../schema/object-type.ts";
import { ProtobufError, ProtobufReader, wireTypes } from "./protobuf-reader.ts";

export interface ProtobufLimits {
  readonly maxDepth: number;
  /** Two bytes of input can stand for an object of hundreds: messages are counted. */
  readonly maxMessages: number;
}

/**
 * Turns one protobuf message into the JSON object that Go's encoder would write for it: empty values are left out
 * where the type says so and written where it does not, flattened messages are merged in, null is left out.
 * Throws {@link ProtobufError}, and FieldValueError for a bad quantity.
 */
export function decodeMessage(reader: ProtobufReader, type: ObjectType, limits: ProtobufLimits): JsonObject {
  return new MessageDecoder(limits).message(reader, type, 0);
}

/** A message that is not there reads as one without fields. */
const noBytes = new ProtobufReader(Buffer.alloc(0));

class MessageDecoder {
  readonly #limits: ProtobufLimits;
  #messages = 0;

  constructor(limits: ProtobufLimits) {
    this.#limits = limits;
  }

  message(reader: ProtobufReader, type: ObjectType, depth: number): JsonObject {
    const result: Record<string, unknown> = {};
    this.#fill(result, reader, type, depth);
    return result;
  }

  #fill(result: Record<string, unknown>, reader: ProtobufReader, type: ObjectType, depth: number): void {
    if (depth > this.#limits.maxDepth) throw new ProtobufError("exceeded max depth");
    if (++this.#messages > this.#limits.maxMessages) throw new ProtobufError("too many messages");
    const values = new Map<Field, unknown>();
    const inlines = new Map<ObjectType, ProtobufReader>();
    while (!reader.isAtEnd) {
      const tag = reader.tag();
      const slot = type.slotByNumber[tag >>> 3];
      if (slot === undefined) reader.skip(tag & 7);
      else if (slot.isInline) {
        requireWireType(tag & 7, wireTypes.bytes, type.goName);
        inlines.set(slot.object, reader.message());
      } else {
        const { field } = slot;
        values.set(field, this.#read(reader, tag & 7, field.type, values.get(field), depth, field.name));
      }
    }
    for (const slot of type.slots) {
      if (slot.isInline) {
        this.#fill(result, inlines.get(slot.object) ?? noBytes, slot.object, depth + 1);
        continue;
      }
      const { field } = slot;
      const value = values.has(field) ? values.get(field) : field.number > 0 ? this.#absent(field, depth) : undefined;
      if (value !== undefined && !isLeftOut(field, value)) result[field.name] = value;
    }
  }

  /** What is written for a field that the message does not have. */
  #absent(field: Field, depth: number): unknown {
    if (field.isPointer) return undefined;
    if (field.type.kind === "object") return this.message(noBytes, field.type.object, depth + 1);
    // Structs to Go, and so never "empty".
    if (field.type.kind === "quantity") return "0";
    if (field.type.kind === "intOrString") return 0;
    if (field.isOmittedWhenEmpty) return undefined;
    return zeroScalar(field.type);
  }

  #read(
    reader: ProtobufReader,
    wireType: number,
    type: FieldType,
    before: unknown,
    depth: number,
    name: string,
  ): unknown {
    switch (type.kind) {
      case "object":
        requireWireType(wireType, wireTypes.bytes, name);
        return this.message(reader.message(), type.object, depth + 1);
      case "list":
        return this.#readElements(reader, wireType, type, before, depth, name);
      case "map":
        requireWireType(wireType, wireTypes.bytes, name);
        return this.#readEntry(reader.message(), type, before, depth, name);
      default:
        return readLeaf(reader, wireType, type, name);
    }
  }

  #readElements(
    reader: ProtobufReader,
    wireType: number,
    type: ListFieldType,
    before: unknown,
    depth: number,
    name: string,
  ): unknown[] {
    const list: unknown[] = Array.isArray(before) ? before : [];
    const isPackable = type.element.kind === "int32" || type.element.kind === "int64" || type.element.kind === "bool";
    if (isPackable && wireType === wireTypes.bytes) {
      const packed = reader.message();
      while (!packed.isAtEnd) list.push(this.#read(packed, wireTypes.varint, type.element, undefined, depth, name));
    } else list.push(this.#read(reader, wireType, type.element, undefined, depth, name));
    return list;
  }

  #readEntry(entry: ProtobufReader, type: MapFieldType, before: unknown, depth: number, name: string): unknown {
    const map: Record<string, unknown> = isRecord(before) ? before : {};
    if (++this.#messages > this.#limits.maxMessages) throw new ProtobufError("too many messages");
    let key = "";
    let value: unknown;
    while (!entry.isAtEnd) {
      const tag = entry.tag();
      if (tag >>> 3 === 1) {
        requireWireType(tag & 7, wireTypes.bytes, name);
        key = entry.string();
      } else if (tag >>> 3 === 2) value = this.#readMapValue(entry, tag & 7, type.value, depth, name);
      else entry.skip(tag & 7);
    }
    setOwn(map, key, value ?? zeroValue(type.value));
    return map;
  }

  #readMapValue(entry: ProtobufReader, wireType: number, type: FieldType, depth: number, name: string): unknown {
    if (type.kind !== "list" || !type.isWrapped) return this.#read(entry, wireType, type, undefined, depth, name);
    requireWireType(wireType, wireTypes.bytes, name);
    const wrapper = entry.message();
    let list: unknown[] = [];
    while (!wrapper.isAtEnd) {
      const tag = wrapper.tag();
      if (tag >>> 3 === 1) list = this.#readElements(wrapper, tag & 7, type, list, depth, name);
      else wrapper.skip(tag & 7);
    }
    return list;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isLeftOut(field: Field, value: unknown): boolean {
  switch (field.type.kind) {
    case "time":
    case "microtime":
    case "raw":
    case "fields":
      return value === ""; // null in Go's JSON
    case "object":
    case "quantity":
    case "intOrString":
      return false;
    default:
      if (field.isPointer || !field.isOmittedWhenEmpty) return false;
      return value === "" || value === 0 || value === false;
  }
}

function zeroScalar(type: FieldType): unknown {
  switch (type.kind) {
    case "string":
    case "bytes":
      return "";
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
      return 0;
    default:
      return undefined; // null in Go's JSON
  }
}

function requireWireType(actual: number, expected: number, name: string): void {
  if (actual !== expected) throw new ProtobufError(`wrong wireType = ${actual} for field ${name}`);
}

function readLeaf(reader: ProtobufReader, wireType: number, type: LeafType, name: string): unknown {
  switch (type.kind) {
    case "bool":
      requireWireType(wireType, wireTypes.varint, name);
      return reader.bool();
    case "int32":
      requireWireType(wireType, wireTypes.varint, name);
      return reader.int32();
    case "int64":
      requireWireType(wireType, wireTypes.varint, name);
      return reader.int64();
    case "double":
      requireWireType(wireType, wireTypes.fixed64, name);
      return reader.double();
    case "string":
      requireWireType(wireType, wireTypes.bytes, name);
      return reader.string();
    case "bytes":
      requireWireType(wireType, wireTypes.bytes, name);
      return reader.bytes().toString("base64");
    default:
      requireWireType(wireType, wireTypes.bytes, name);
      return readWrapped(reader.message(), type, name);
  }
}

/** Leaves that are messages in protobuf. */
function readWrapped(message: ProtobufReader, type: LeafType, name: string): unknown {
  const parts = readParts(message);
  switch (type.kind) {
    case "quantity":
      return canonicalQuantity(text(parts, 1) === "" ? "0" : text(parts, 1));
    case "time":
    case "microtime":
      return parts.size === 0 ? "" : formatTime(integer(parts, 1), integer(parts, 2), type.kind);
    case "intOrString":
      return integer(parts, 1) === 1 ? text(parts, 3) : integer(parts, 2) | 0;
    default:
      return parseJson(text(parts, 1), name);
  }
}

function readParts(message: ProtobufReader): ReadonlyMap<number, string | number> {
  const parts = new Map<number, string | number>();
  while (!message.isAtEnd) {
    const tag = message.tag();
    if ((tag & 7) === wireTypes.varint) parts.set(tag >>> 3, message.int64());
    else if ((tag & 7) === wireTypes.bytes) parts.set(tag >>> 3, message.string());
    else message.skip(tag & 7);
  }
  return parts;
}

function text(parts: ReadonlyMap<number, string | number>, number: number): string {
  const part = parts.get(number);
  return typeof part === "string" ? part : "";
}

function integer(parts: ReadonlyMap<number, string | number>, number: number): number {
  const part = parts.get(number);
  return typeof part === "number" ? part : 0;
}

/** Years 0 to 9999, the ones RFC 3339 can write. */
function formatTime(seconds: number, nanos: number, kind: "time" | "microtime"): string {
  if (seconds < -62_167_219_200 || seconds > 253_402_300_799) throw new ProtobufError("time out of range");
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (kind === "time") return `${whole}Z`;
  return `${whole}.${String(Math.floor(nanos / 1000))
    .padStart(6, "0")
    .slice(0, 6)}Z`;
}

function parseJson(json: string, name: string): unknown {
  if (json === "") return "";
  try {
    return JSON.parse(json);
  } catch {
    throw new ProtobufError(`field ${name} does not hold JSON`);
  }
}
