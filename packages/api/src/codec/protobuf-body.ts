import { type JsonObject, setOwn } from "../schema/conform.ts";
import { findBuiltInType } from "../schema/schemas.ts";
import { decodeMessage, type ProtobufLimits } from "./protobuf-object.ts";
import { ProtobufError, ProtobufReader, wireTypes } from "./protobuf-reader.ts";

/** What every Kubernetes protobuf body begins with. */
const magic = Buffer.from("k8s\0", "latin1");

/**
 * Decodes a body of `application/vnd.kubernetes.protobuf`: four magic bytes, then `runtime.Unknown`
 * {typeMeta = 1 {apiVersion = 1, kind = 2}, raw = 2, contentEncoding = 3, contentType = 4} around the message.
 * Throws {@link ProtobufError}, and FieldValueError for a bad quantity.
 */
export function decodeProtobuf(body: Uint8Array, limits: ProtobufLimits): JsonObject {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < magic.length || bytes.compare(magic, 0, magic.length, 0, magic.length) !== 0) {
    throw new ProtobufError("provided data does not appear to be a protobuf message, expected prefix 6b387300");
  }
  const envelope = readEnvelope(new ProtobufReader(bytes, magic.length));
  if (envelope.contentEncoding !== "") throw new ProtobufError(`unknown content encoding ${envelope.contentEncoding}`);
  if (envelope.contentType !== "" && !envelope.contentType.startsWith("application/vnd.kubernetes.protobuf")) {
    throw new ProtobufError(`unknown content type ${envelope.contentType}`);
  }
  const { apiVersion, kind } = envelope;
  const type = findBuiltInType(apiVersion, kind);
  if (type === undefined) throw new ProtobufError(`no kind "${kind}" is registered for version "${apiVersion}"`);
  const decoded = decodeMessage(new ProtobufReader(envelope.raw), type, limits);
  const object: Record<string, unknown> = { kind, apiVersion };
  for (const key of Object.keys(decoded)) setOwn(object, key, decoded[key]);
  return object;
}

interface Envelope {
  apiVersion: string;
  kind: string;
  raw: Buffer;
  contentEncoding: string;
  contentType: string;
}

function readEnvelope(reader: ProtobufReader): Envelope {
  const envelope: Envelope = { apiVersion: "", kind: "", raw: Buffer.alloc(0), contentEncoding: "", contentType: "" };
  while (!reader.isAtEnd) {
    const tag = reader.tag();
    if ((tag & 7) !== wireTypes.bytes) reader.skip(tag & 7);
    else if (tag >>> 3 === 1) readTypeMeta(reader.message(), envelope);
    else if (tag >>> 3 === 2) envelope.raw = reader.bytes();
    else if (tag >>> 3 === 3) envelope.contentEncoding = reader.string();
    else if (tag >>> 3 === 4) envelope.contentType = reader.string();
    else reader.skip(tag & 7);
  }
  return envelope;
}

function readTypeMeta(reader: ProtobufReader, envelope: Envelope): void {
  while (!reader.isAtEnd) {
    const tag = reader.tag();
    if ((tag & 7) !== wireTypes.bytes) reader.skip(tag & 7);
    else if (tag >>> 3 === 1) envelope.apiVersion = reader.string();
    else if (tag >>> 3 === 2) envelope.kind = reader.string();
    else reader.skip(tag & 7);
  }
}
