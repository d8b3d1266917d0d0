import type { ResourceDefinition } from "./kinds/definition.ts";
import { badRequest } from "./status-error.ts";
import type { KubeObject } from "./types/meta.ts";

/** Field selectors (`spec.nodeName=a,status.phase!=Failed`), after k8s.io/apimachinery `fields` (1.35). */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

export interface FieldSelector {
  readonly requirements: readonly FieldRequirement[];
}

export const everyField: FieldSelector = { requirements: [] };

/** Throws `ApiError` BadRequest. Whether the kind has the fields is {@link checkFieldSelector}'s to say. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === "") continue;
    const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term);
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = "", operator, value = ""] = match;
    requirements.push({ field, operator: operator === "!=" ? "!=" : "=", value: unescapeValue(value) });
  }
  return { requirements };
}

/** Throws `ApiError` BadRequest when the kind cannot be selected by one of the fields. */
export function checkFieldSelector(definition: ResourceDefinition, selector: FieldSelector): void {
  for (const { field } of selector.requirements) {
    if (!Object.hasOwn(definition.selectableFields, field)) {
      throw badRequest(
        definition.builtIn && Object.keys(definition.selectableFields).length > 2
          ? `field label not supported: ${field}`
          : `${JSON.stringify(field)} is not a known field selector: only ${listOfFields(definition)}`,
      );
    }
  }
}

/** Fields the kind cannot be selected by match nothing: check first. */
export function matchesFields(definition: ResourceDefinition, selector: FieldSelector, object: KubeObject): boolean {
  return selector.requirements.every(({ field, operator, value }) => {
    const read = definition.selectableFields[field];
    if (read === undefined) return false;
    return (read(object) === value) === (operator === "=");
  });
}

/** The one value the selector allows for the field, when it asks for equality: a key to look up instead of a scan. */
export function requiredFieldValue(selector: FieldSelector, field: string): string | undefined {
  return selector.requirements.find((requirement) => requirement.field === field && requirement.operator === "=")
    ?.value;
}

function listOfFields(definition: ResourceDefinition): string {
  return Object.keys(definition.selectableFields)
    .map((field) => JSON.stringify(field))
    .join(", ");
}

function splitTerms(text: string): readonly string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === ",") {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescapeValue(text: string): string {
  if (!/[\\,=]/.test(text)) return text;
  let value = "";
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === "\\") {
      i += 1;
      const escaped = text.charAt(i);
      if (!["\\", ",", "="].includes(escaped)) {
        throw badRequest(`invalid field selector: invalid escape sequence: \\${escaped}`);
      }
      value += escaped;
    } else if (character === "=" || character === ",") {
      throw badRequest(`invalid field selector: unescaped character in value: ${character.charCodeAt(0)}`);
    } else value += character;
  }
  return value;
}
