import { formatFieldPath, maxStrictErrors } from "../schema/conform.ts";
import type { FieldType, ObjectType } from "../schema/object-type.ts";

/**
 * Finds unknown and repeated fields in a JSON text, in document order, worded as kube-apiserver's strict decoder words
 * them. Slower than the ordinary way (it reads the text in JavaScript): for texts known to repeat a field.
 * The text must be valid JSON of bounded depth. Inside an unknown field nothing is reported.
 */
export function strictErrorsOf(text: string, type: ObjectType): readonly string[] {
  const reader = new StrictReader(text);
  reader.value({ kind: "object", goName: type.goName, object: type });
  return [...reader.errors];
}

/** Repeated fields of a text of which no schema is known. */
export function duplicateFieldsOf(text: string): readonly string[] {
  const reader = new StrictReader(text);
  reader.value("any");
  return [...reader.errors];
}

class StrictReader {
  readonly errors = new Set<string>();
  readonly #text: string;
  readonly #path: (string | number)[] = [];
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Reads one value; `undefined` means that nothing in it is to be reported. */
  value(type: FieldType | "any" | undefined): void {
    switch (this.#next()) {
      case "{":
        return this.#object(type);
      case "[":
        return this.#list(type);
      case '"':
        this.#string();
        return;
      default:
        while (this.#position < this.#text.length && !",]}".includes(this.#text.charAt(this.#position)))
          this.#position++;
    }
  }

  #object(type: FieldType | "any" | undefined): void {
    this.#position++;
    const seen = new Set<string>();
    for (;;) {
      const character = this.#next();
      if (character === "}" || character === "") break;
      if (character === ",") {
        this.#position++;
        continue;
      }
      const key = this.#string();
      this.#next();
      this.#position++; // the colon
      const member = memberType(type, key);
      this.#path.push(key);
      if (type !== undefined && member === undefined) this.#report("unknown", type);
      else if (type !== undefined && seen.has(key)) this.#report("duplicate", type);
      seen.add(key);
      this.value(member);
      this.#path.pop();
    }
    this.#position++;
  }

  #list(type: FieldType | "any" | undefined): void {
    this.#position++;
    const element = type === "any" ? type : type?.kind === "list" ? type.element : undefined;
    for (let index = 0; ; ) {
      const character = this.#next();
      if (character === "]" || character === "") break;
      if (character === ",") {
        this.#position++;
        index++;
        continue;
      }
      this.#path.push(index);
      this.value(element);
      this.#path.pop();
    }
    this.#position++;
  }

  #string(): string {
    const start = this.#position;
    for (this.#position++; this.#position < this.#text.length; this.#position++) {
      const character = this.#text.charAt(this.#position);
      if (character === "\\") this.#position++;
      else if (character === '"') break;
    }
    this.#position++;
    return String(JSON.parse(this.#text.slice(start, this.#position)));
  }

  #next(): string {
    while (" \t\r\n".includes(this.#text.charAt(this.#position)) && this.#position < this.#text.length)
      this.#position++;
    return this.#text.charAt(this.#position);
  }

  #report(what: "unknown" | "duplicate", type: FieldType | "any"): void {
    // Free-form values (`raw`, `fields`) have no members that could be unknown.
    if (type !== "any" && type.kind !== "object" && type.kind !== "map") return;
    if (this.errors.size >= maxStrictErrors) return;
    this.errors.add(`${what} field ${JSON.stringify(formatFieldPath(this.#path))}`);
  }
}

function memberType(type: FieldType | "any" | undefined, key: string): FieldType | "any" | undefined {
  if (type === "any" || type === undefined) return type;
  if (type.kind === "object") return type.object.fields.get(key)?.type;
  return type.kind === "map" ? type.value : undefined;
}
