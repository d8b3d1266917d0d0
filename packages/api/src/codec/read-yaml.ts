import { isScalar, LineCounter, parseAllDocuments, type Tags, visit } from "yaml";
import { badRequest } from "../status-error.ts";

/** Reading YAML costs over a microsecond a byte, a hundred times what JSON costs, and nothing else runs meanwhile. */
const maxLength = 1024 * 1024;

export interface YamlBody {
  readonly value: unknown;
  /** Keys that came twice, worded as kube-apiserver does but on one line. */
  readonly strictErrors: readonly string[];
}

/**
 * Reads one YAML 1.1 document as kube-apiserver does: `0644` is octal and `yes` is true, but times stay text and
 * there are no sexagesimal numbers, sets or binaries. Aliases are bounded (100). Throws `BadRequest`.
 */
export function readYaml(text: string, maxDepth: number): YamlBody {
  if (text.length > maxLength) throw badRequest("a YAML body is limited to 1 MiB; send it as JSON");
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: "1.1",
    uniqueKeys: false,
    stringKeys: false,
    lineCounter,
    customTags: (tags) => tags.filter(isPlainTag),
  });
  const [document, ...others] = Array.isArray(documents) ? documents : [];
  if (document === undefined) return { value: null, strictErrors: [] };
  if (others.length > 0)
    throw badRequest("the body holds more than one YAML document; send each in a request of its own");
  const [error] = document.errors;
  if (error !== undefined) throw badRequest(`error converting YAML to JSON: yaml: ${firstLine(error.message)}`, error);

  const strictErrors: string[] = [];
  visit(document, {
    Node: (_, __, path) => {
      if (path.length > 2 * maxDepth) throw badRequest("error converting YAML to JSON: exceeded max depth");
    },
    Map: (_, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key))
          throw badRequest("error converting YAML to JSON: yaml: invalid map key: keys must be scalars");
        const name = String(key.value);
        if (seen.has(name) && name !== "<<") {
          const line = lineCounter.linePos(key.range?.[0] ?? 0).line;
          strictErrors.push(`yaml: unmarshal errors: line ${line}: key ${JSON.stringify(name)} already set in map`);
        }
        seen.add(name);
      }
    },
  });
  try {
    return { value: document.toJS({ maxAliasCount: 100 }), strictErrors };
  } catch (cause) {
    throw badRequest(`error converting YAML to JSON: yaml: ${firstLine(String(cause))}`, cause);
  }
}

function isPlainTag(tag: Tags[number]): boolean {
  if (typeof tag === "string") return tag !== "timestamp";
  const name = tag.tag;
  if (/:(timestamp|binary|omap|pairs|set)$/.test(name)) return false;
  return !("format" in tag && tag.format === "TIME");
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}
