import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantity,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  parseQuantityValue,
  QuantityError,
  quantityToBytes,
  quantityToMilli,
} from "./quantity.ts";

/** Pairs as kube-apiserver's `resource.Quantity` gives them. */
const canonical: readonly (readonly [string, string])[] = [
  ["0", "0"],
  ["0.0Ki", "0"],
  ["1", "1"],
  ["100m", "100m"],
  ["0.1", "100m"],
  [".5", "500m"],
  ["1.", "1"],
  ["1000m", "1"],
  ["1500m", "1500m"],
  ["1.5", "1500m"],
  ["10000", "10k"],
  ["1024", "1024"],
  ["1024Ki", "1Mi"],
  ["1023Ki", "1023Ki"],
  ["512Mi", "512Mi"],
  ["1536Mi", "1536Mi"],
  ["1.5Gi", "1536Mi"],
  ["0.5Ki", "512"],
  ["0.5Gi", "512Mi"],
  ["1Ki", "1Ki"],
  ["12e6", "12e6"],
  ["12E6", "12e6"],
  ["1e3", "1e3"],
  ["1e4", "10e3"],
  ["5E", "5E"],
  ["3n", "3n"],
  ["0.5n", "1n"],
  ["-250m", "-250m"],
  ["+2", "2"],
  ["16Ei", "9223372036854775807"],
  ["0.001Ki", "1024m"],
];

test("a quantity is written in Kubernetes's canonical form", () => {
  for (const [text, expected] of canonical) assert.equal(formatQuantity(parseQuantity(text)), expected, text);
});

test("text that is no quantity is refused with a sentence for the user", () => {
  for (const text of [
    "",
    "+",
    ".",
    "a",
    "1x",
    "1 ",
    " 1",
    "1ki",
    "1KiB",
    "1e",
    "1e99999",
    "1..2",
    "--1",
    "1".repeat(65),
  ]) {
    assert.throws(() => parseQuantity(text), QuantityError, JSON.stringify(text));
  }
  assert.throws(() => parseQuantity("lots"), /quantities must match the regular expression/);
  assert.throws(() => parseQuantity("12zz"), /unable to parse quantity's suffix/);
  assert.throws(() => parseQuantityValue({}), QuantityError);
});

test("a JSON number is a quantity", () => {
  assert.equal(formatQuantity(parseQuantityValue(2)), "2");
  assert.equal(formatQuantity(parseQuantityValue(0.25)), "250m");
  assert.equal(formatQuantity(parseQuantityValue(1e21)), "1e21");
});

test("thousandths and whole units are rounded up, away from zero", () => {
  assert.equal(quantityToMilli(parseQuantity("100u")), 1);
  assert.equal(quantityToMilli(parseQuantity("2")), 2000);
  assert.equal(quantityToBytes(parseQuantity("1m")), 1);
  assert.equal(quantityToBytes(parseQuantity("1Gi")), 1_073_741_824);
  assert.equal(quantityToBytes(parseQuantity("-1m")), -1);
});

const quantities = fc
  .tuple(
    fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
    fc.option(fc.nat(999_999)),
    fc.constantFrom("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "e-3", "e6", "E2"),
  )
  .map(([whole, fraction, suffix]) => `${whole}${fraction === null ? "" : `.${fraction}`}${suffix}`);

test("formatting keeps the value, and formatting twice changes nothing", () => {
  fc.assert(
    fc.property(quantities, (text) => {
      const quantity = parseQuantity(text);
      const formatted = formatQuantity(quantity);
      const again = parseQuantity(formatted);
      assert.equal(again.nano, quantity.nano);
      assert.equal(formatQuantity(again), formatted);
    }),
  );
});

test("adding is exact and commutes in value, and order follows the difference", () => {
  fc.assert(
    fc.property(quantities, quantities, (left, right) => {
      const [a, b] = [parseQuantity(left), parseQuantity(right)];
      assert.equal(addQuantity(a, b).nano, addQuantity(b, a).nano);
      assert.equal(addQuantity(a, b).nano - a.nano, b.nano);
      assert.equal(compareQuantity(a, b), Math.sign(Number(a.nano - b.nano)));
    }),
  );
});

test("any text either parses or is refused as no quantity", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), (text) => {
      try {
        parseQuantity(text);
      } catch (error) {
        assert.ok(error instanceof QuantityError);
      }
    }),
  );
});
