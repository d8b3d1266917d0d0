import type { NftCommand } from "./host-commands.ts";

/** The few shapes of libnftables-json(5) our rulesets are made of. */
export type NftExpression = Readonly<Record<string, unknown>>;

export const accept: NftExpression = { accept: null };
export const drop: NftExpression = { drop: null };

export function meta(key: "iifname" | "oifname" | "nfproto"): NftExpression {
  return { meta: { key } };
}

export function payload(protocol: string, field: string): NftExpression {
  return { payload: { protocol, field } };
}

export function concat(...parts: readonly unknown[]): NftExpression {
  return { concat: parts };
}

export function match(left: NftExpression, right: unknown, op: "==" | "!=" | "in" = "=="): NftExpression {
  return { match: { op, left, right } };
}

export function ctState(...states: readonly string[]): NftExpression {
  return match({ ct: { key: "state" } }, states, "in");
}

/** Commands on one table, so that no rule can name another by mistake. */
export class NftTable {
  readonly #family: string;
  readonly #name: string;

  constructor(family: "inet" | "arp", name: string) {
    this.#family = family;
    this.#name = name;
  }

  /** Empties the table within the transaction, whether it exists or not; what follows fills it. */
  replace(): readonly NftCommand[] {
    return [...this.remove(), { add: { table: this.#table() } }];
  }

  /** Removes the table, whether it exists or not. */
  remove(): readonly NftCommand[] {
    return [{ add: { table: this.#table() } }, { delete: { table: this.#table() } }];
  }

  chain(name: string): NftCommand {
    return { add: { chain: { ...this.#inside(), name } } };
  }

  baseChain(name: string, type: "filter" | "nat", hook: string, prio: number, policy: "accept" | "drop"): NftCommand {
    return { add: { chain: { ...this.#inside(), name, type, hook, prio, policy } } };
  }

  rule(chain: string, ...expr: readonly NftExpression[]): NftCommand {
    return { add: { rule: { ...this.#inside(), chain, expr } } };
  }

  set(name: string, type: readonly string[]): NftCommand {
    return { add: { set: { ...this.#inside(), name, type: type.length === 1 ? type[0] : type } } };
  }

  addElements(name: string, elem: readonly unknown[]): readonly NftCommand[] {
    return elem.length === 0 ? [] : [{ add: { element: { ...this.#inside(), name, elem } } }];
  }

  /** Adding first makes the removal of an element that is not there succeed. */
  removeElements(name: string, elem: readonly unknown[]): readonly NftCommand[] {
    if (elem.length === 0) return [];
    return [...this.addElements(name, elem), { delete: { element: { ...this.#inside(), name, elem } } }];
  }

  #table(): NftExpression {
    return { family: this.#family, name: this.#name };
  }

  #inside(): NftExpression {
    return { family: this.#family, table: this.#name };
  }
}
