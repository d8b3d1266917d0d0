import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatLabelSelector,
  type LabelSelector,
  labelSelectorFromObject,
  matchesLabels,
  parseLabelSelector,
} from "./label-selector.ts";
import { ApiError } from "./status-error.ts";
import type { StringMap } from "./types/meta.ts";

const labels: StringMap = { app: "web", tier: "front", size: "10", empty: "", in: "notin" };

const cases: readonly (readonly [string, boolean])[] = [
  ["", true],
  ["app=web", true],
  ["app==web", true],
  ["app!=web", false],
  ["app = web , tier = front", true],
  ["app in (web, api)", true],
  ["app in(web)", true],
  ["app notin (web,api)", false],
  ["other notin (x)", true],
  ["other!=x", true],
  ["app", true],
  ["!app", false],
  ["! other", true],
  ["size>9", true],
  ["size>10", false],
  ["size<11", true],
  ["app>9", false],
  ["other<9", false],
  ["empty=", true],
  ["empty=,app=web", true],
  ["app=", false],
  ["empty in (,x)", true],
  ["in=notin", true],
  ["in in (in, notin)", true],
  ["toString", false],
  ["example.com/part", false],
];

test("a selector picks what kube-apiserver picks", () => {
  for (const [text, expected] of cases) assert.equal(matchesLabels(parseLabelSelector(text), labels), expected, text);
});

test("an object without labels is picked by negations alone", () => {
  assert.equal(matchesLabels(parseLabelSelector("!app,tier!=x,tier notin (y)"), undefined), true);
  assert.equal(matchesLabels(parseLabelSelector("app"), undefined), false);
});

const refused: readonly (readonly [string, RegExp])[] = [
  ["app=web,", /found '', expected: identifier after ','/],
  [",app", /found ',', expected: !, identifier, or 'end of string'/],
  ["app web", /unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt/],
  ["app in web", /unable to parse requirement: found 'web' expected: '\('/],
  ["app in (web", /found '', expected: ',' or '\)'/],
  ["app=web tier", /found 'tier', expected: ',' or 'end of string'/],
  ["!app=web", /found '=', expected: ',' or 'end of string'/],
  ["app=(web", /expected: identifier/],
  ["-app=web", /key: Invalid value: "-app": name part must consist of/],
  ["app=-web", /values\[0\]\[app\]: Invalid value: "-web": a valid label must be/],
  ["size>-1", /values\[0\]\[size\]: Invalid value: "-1": a valid label must be/],
  ["size>ten", /the value must be an integer/],
];

test("a selector that makes no sense is a bad request that says where", () => {
  for (const [text, message] of refused) {
    assert.throws(
      () => parseLabelSelector(text),
      (error) => {
        assert.ok(error instanceof ApiError);
        assert.equal(error.status.code, 400);
        assert.match(error.message, message);
        return true;
      },
      text,
    );
  }
});

test("the object form means the same as the text form", () => {
  const selector = labelSelectorFromObject({
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "In", values: ["front", "back"] },
      { key: "canary", operator: "DoesNotExist" },
    ],
  });
  assert.equal(formatLabelSelector(selector), "app=web,tier in (front,back),!canary");
  assert.equal(matchesLabels(selector, labels), true);
  assert.equal(matchesLabels(labelSelectorFromObject({}), undefined), true);
  assert.throws(() => labelSelectorFromObject({ matchExpressions: [{ key: "a", operator: "In" }] }), /can't be empty/);
  assert.throws(
    () => labelSelectorFromObject({ matchExpressions: [{ key: "a", operator: "Exists", values: ["x"] }] }),
    /must be empty/,
  );
});

const keys = fc.constantFrom("app", "tier", "in", "notin", "example.com/part");
const values = fc.constantFrom("", "web", "in", "notin", "10", "a.b_c-d");
const plain = { noNullPrototype: true } as const;
const selectors: fc.Arbitrary<LabelSelector> = fc
  .array(
    fc.oneof(
      fc.record(
        {
          key: keys,
          operator: fc.constantFrom("In" as const, "NotIn" as const),
          values: fc.uniqueArray(values, { minLength: 1 }).map((list) => list.toSorted()),
        },
        plain,
      ),
      fc.record({ key: keys, operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const) }, plain),
      fc.record(
        { key: keys, operator: fc.constantFrom("Gt" as const, "Lt" as const), bound: fc.bigInt(0n, 99n) },
        plain,
      ),
    ),
  )
  .map((requirements) => ({ requirements }));

test("a selector survives the way through its text", () => {
  fc.assert(
    fc.property(selectors, (selector) => {
      assert.deepEqual(parseLabelSelector(formatLabelSelector(selector)), selector);
    }),
  );
});

test("a requirement and its negation never agree", () => {
  fc.assert(
    fc.property(keys, fc.uniqueArray(values, { minLength: 1 }), fc.dictionary(keys, values), (key, list, labels) => {
      const picks = (operator: "In" | "NotIn") =>
        matchesLabels({ requirements: [{ key, operator, values: list }] }, labels);
      assert.notEqual(picks("In"), picks("NotIn"));
    }),
  );
});

test("any text either parses or is a bad request", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab=!,()<> in"), maxLength: 24 }), (text) => {
      try {
        parseLabelSelector(text);
      } catch (error) {
        assert.ok(error instanceof ApiError);
      }
    }),
  );
});
