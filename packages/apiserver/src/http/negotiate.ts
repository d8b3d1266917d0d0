import { notAcceptable } from "@isopod/api";

/** The shapes an answer about objects can take. */
export type AnswerShape = "object" | "table" | "partial";

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const jsonRanges = new Set(["application/json", "application/*", "*/*"]);
const acceptedTypes = ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"] as const;

/** The ranges of an Accept header, the best liked first; equal ones stay in order. */
export function parseAccept(header: string | undefined): readonly MediaRange[] {
  if (header === undefined || header.trim() === "") return [{ type: "*/*", parameters: new Map(), quality: 1 }];
  return header
    .split(",")
    .slice(0, 32)
    .map(parseRange)
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
}

function parseRange(text: string): MediaRange {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const parameters = new Map(
    rest.map((part) => {
      const at = part.indexOf("=");
      return at < 0 ? [part.toLowerCase(), ""] : [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
    }),
  );
  const quality = Number(parameters.get("q") ?? 1);
  return { type: type.toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 0 };
}

/**
 * The first acceptable shape we have. Everything is sent as JSON: clients that prefer protobuf also name JSON.
 * Throws NotAcceptable when nothing fits, as for a shape that `shapes` does not allow.
 */
export function negotiateShape(header: string | undefined, shapes: readonly AnswerShape[]): AnswerShape {
  for (const { type, parameters } of parseAccept(header)) {
    if (!jsonRanges.has(type)) continue;
    const shape = shapeOf(parameters);
    if (shape !== undefined && shapes.includes(shape)) return shape;
  }
  throw notAcceptable(shapes.includes("table") ? acceptedTypes : ["application/json"]);
}

function shapeOf(parameters: ReadonlyMap<string, string>): AnswerShape | undefined {
  const as = parameters.get("as");
  if (as === undefined) return "object";
  if (parameters.get("g") !== "meta.k8s.io" || parameters.get("v") !== "v1") return undefined;
  if (as === "Table") return "table";
  return as === "PartialObjectMetadata" || as === "PartialObjectMetadataList" ? "partial" : undefined;
}

/** Whether aggregated discovery v2 comes before plain JSON in what the client accepts. */
export function prefersAggregatedDiscovery(header: string | undefined): boolean {
  for (const { type, parameters } of parseAccept(header)) {
    if (!jsonRanges.has(type)) continue;
    if (parameters.get("as") === undefined) return false;
    if (
      parameters.get("as") === "APIGroupDiscoveryList" &&
      parameters.get("g") === "apidiscovery.k8s.io" &&
      parameters.get("v") === "v2"
    ) {
      return true;
    }
  }
  throw notAcceptable(["application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"]);
}
