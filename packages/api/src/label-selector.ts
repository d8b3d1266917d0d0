import { labelValueProblems, qualifiedNameProblems } from "./names.ts";
import { type ApiError, badRequest } from "./status-error.ts";
import type { LabelSelectorObject, StringMap } from "./types/meta.ts";

/**
 * Label selectors in text (`app=web,tier in (a, b),!canary`) and object form, after k8s.io/apimachinery `labels` (1.35):
 * same grammar, same sentences, so that kubectl users read what they know.
 */
export type LabelRequirement =
  | { readonly key: string; readonly operator: "In" | "NotIn"; readonly values: readonly string[] }
  | { readonly key: string; readonly operator: "Exists" | "DoesNotExist" }
  | { readonly key: string; readonly operator: "Gt" | "Lt"; readonly bound: bigint };

/** All of the requirements hold; none at all: everything is selected. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
}

export const everyLabel: LabelSelector = { requirements: [] };

const integerPattern = /^[+-]?\d{1,19}$/;

/** Throws `ApiError` BadRequest. */
export function parseLabelSelector(text: string): LabelSelector {
  return { requirements: new Parser(tokenize(text)).parse() };
}

export function matchesLabels(selector: LabelSelector, labels: StringMap | undefined): boolean {
  return selector.requirements.every((requirement) => matches(requirement, labels));
}

/**
 * Selects as the object in a spec does. `undefined` selects nothing in Kubernetes: callers decide; `{}` is everything.
 * Throws `ApiError` BadRequest.
 */
export function labelSelectorFromObject(selector: LabelSelectorObject): LabelSelector {
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push(checked({ key, operator: "In", values: [value] }));
  }
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    switch (operator) {
      case "In":
      case "NotIn":
        requirements.push(checked({ key, operator, values }));
        break;
      case "Exists":
      case "DoesNotExist":
        if (values.length > 0) throw badValues(values, "values set must be empty for exists and does not exist");
        requirements.push(checked({ key, operator }));
        break;
      default:
        throw badRequest(`${JSON.stringify(operator)} is not a valid label selector operator`);
    }
  }
  return { requirements };
}

/** The text form; parsing it gives the same selector. */
export function formatLabelSelector(selector: LabelSelector): string {
  return selector.requirements.map(formatRequirement).join(",");
}

function formatRequirement(requirement: LabelRequirement): string {
  switch (requirement.operator) {
    case "Exists":
      return requirement.key;
    case "DoesNotExist":
      return `!${requirement.key}`;
    case "Gt":
      return `${requirement.key}>${requirement.bound}`;
    case "Lt":
      return `${requirement.key}<${requirement.bound}`;
    default: {
      const word = requirement.operator === "In" ? "in" : "notin";
      if (requirement.values.length !== 1) return `${requirement.key} ${word} (${requirement.values.join(",")})`;
      return `${requirement.key}${requirement.operator === "In" ? "=" : "!="}${requirement.values[0]}`;
    }
  }
}

function matches(requirement: LabelRequirement, labels: StringMap | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case "In":
      return value !== undefined && requirement.values.includes(value);
    case "NotIn":
      return value === undefined || !requirement.values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && integerPattern.test(value) && BigInt(value) > requirement.bound;
    case "Lt":
      return value !== undefined && integerPattern.test(value) && BigInt(value) < requirement.bound;
    default:
      return requirement satisfies never;
  }
}

/** `context` stands before what is wrong, as kube-apiserver says which of its steps failed. */
function checked(requirement: LabelRequirement, context = ""): LabelRequirement {
  checkKey(requirement.key, context);
  if (requirement.operator !== "In" && requirement.operator !== "NotIn") return requirement;
  if (requirement.values.length === 0) {
    throw badValues([], "for 'in', 'notin' operators, values set can't be empty");
  }
  checkValues(requirement.key, requirement.values, context);
  return requirement;
}

function checkValues(key: string, values: readonly string[], context: string): void {
  values.forEach((value, index) => {
    const problems = labelValueProblems(value);
    if (problems.length === 0) return;
    const field = `values[${index}][${key}]`;
    throw badRequest(`${context}${field}: Invalid value: ${JSON.stringify(value)}: ${problems.join("; ")}`);
  });
}

function checkKey(key: string, context: string): void {
  const problems = qualifiedNameProblems(key);
  if (problems.length === 0) return;
  throw badRequest(`${context}key: Invalid value: ${JSON.stringify(key)}: ${problems.join("; ")}`);
}

function badValues(values: readonly string[], why: string): ApiError {
  return badRequest(`values: Invalid value: ${JSON.stringify(values)}: ${why}`);
}

const parsing = "unable to parse requirement: ";

interface Token {
  readonly type: "symbol" | "identifier" | "end";
  readonly text: string;
}

const end: Token = { type: "end", text: "" };

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  const scanner = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+))/y;
  for (let match = scanner.exec(text); match !== null; match = scanner.exec(text)) {
    const [, symbol, identifier] = match;
    if (symbol !== undefined) tokens.push({ type: "symbol", text: symbol });
    else tokens.push({ type: "identifier", text: identifier ?? "" });
  }
  return tokens;
}

/** `in` and `notin` are words like any other where a key or a value is expected. */
class Parser {
  readonly #tokens: readonly Token[];
  #position = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parse(): readonly LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    if (this.#peek().type === "end") return requirements;
    for (;;) {
      if (this.#peek().type !== "identifier" && this.#peek().text !== "!") {
        throw this.#unexpected(
          requirements.length === 0
            ? ", expected: !, identifier, or 'end of string'"
            : ", expected: identifier after ','",
        );
      }
      requirements.push(this.#requirement());
      if (this.#peek().type === "end") return requirements;
      if (this.#peek().text !== ",") throw this.#unexpected(", expected: ',' or 'end of string'");
      this.#next();
    }
  }

  #requirement(): LabelRequirement {
    const isNegated = this.#peek().text === "!";
    if (isNegated) this.#next();
    if (this.#peek().type !== "identifier") throw this.#unparsable(", expected: identifier");
    const key = this.#next().text;
    checkKey(key, parsing);
    if (isNegated) return checked({ key, operator: "DoesNotExist" }, parsing);
    const { type, text: operator } = this.#peek();
    if (type === "end" || operator === ",") return checked({ key, operator: "Exists" }, parsing);
    switch (operator) {
      case "in":
      case "notin":
        this.#next();
        return checked({ key, operator: operator === "in" ? "In" : "NotIn", values: this.#valueList() }, parsing);
      case "=":
      case "==":
      case "!=":
        this.#next();
        return checked({ key, operator: operator === "!=" ? "NotIn" : "In", values: [this.#exactValue()] }, parsing);
      case ">":
      case "<":
        this.#next();
        return checked({ key, operator: operator === ">" ? "Gt" : "Lt", bound: this.#bound(key) }, parsing);
      default:
        throw this.#unparsable(", expected: in, notin, =, ==, !=, gt, lt");
    }
  }

  #exactValue(): string {
    const { type, text } = this.#peek();
    if (type === "end" || text === ",") return "";
    if (type !== "identifier") throw this.#unparsable(", expected: identifier");
    return this.#next().text;
  }

  #bound(key: string): bigint {
    const text = this.#exactValue();
    if (!integerPattern.test(text)) {
      const why = "for 'Gt', 'Lt' operators, the value must be an integer";
      throw badRequest(`${parsing}values[0]: Invalid value: ${JSON.stringify(text)}: ${why}`);
    }
    // A bound is a label value too: it has no sign.
    checkValues(key, [text], parsing);
    return BigInt(text);
  }

  /** `(a, b)`; an item may be empty, which is the empty value. */
  #valueList(): readonly string[] {
    if (this.#peek().text !== "(") throw this.#unparsable(" expected: '('");
    this.#next();
    const values = new Set<string>();
    for (;;) {
      values.add(this.#peek().type === "identifier" ? this.#next().text : "");
      const { text } = this.#peek();
      if (text !== "," && text !== ")") throw this.#unparsable(", expected: ',' or ')'");
      this.#next();
      if (text === ")") return [...values].toSorted();
    }
  }

  #peek(): Token {
    return this.#tokens[this.#position] ?? end;
  }

  #next(): Token {
    const token = this.#peek();
    this.#position += 1;
    return token;
  }

  #unexpected(expectation: string): ApiError {
    return badRequest(`found '${this.#peek().text}'${expectation}`);
  }

  #unparsable(expectation: string): ApiError {
    return badRequest(`${parsing}found '${this.#peek().text}'${expectation}`);
  }
}
