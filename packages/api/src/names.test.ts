import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressClaimName,
  configKeyProblems,
  dns1123LabelProblems,
  dns1123SubdomainProblems,
  envVarNameProblems,
  generateName,
  isDns1123Label,
  labelValueProblems,
  qualifiedNameProblems,
} from "./names.ts";

test("labels and subdomains are told apart in kube-apiserver's words", () => {
  assert.deepEqual(dns1123LabelProblems("web-1"), []);
  assert.deepEqual(dns1123LabelProblems("a.b"), ["must not contain dots"]);
  assert.deepEqual(dns1123LabelProblems("Web"), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(dns1123LabelProblems("a".repeat(64)), ["must be no more than 63 bytes"]);
  assert.deepEqual(dns1123SubdomainProblems("a.b-c.d"), []);
  assert.match(dns1123SubdomainProblems("a..b").join(), /RFC 1123 subdomain .*\(e\.g\. 'example\.com', regex used/);
});

test("label keys, label values, config keys and variable names have their own alphabets", () => {
  assert.deepEqual(qualifiedNameProblems("example.com/My_Name"), []);
  assert.match(qualifiedNameProblems("Example.com/name").join(), /^prefix part a lowercase RFC 1123 subdomain/);
  assert.deepEqual(qualifiedNameProblems("/name"), ["prefix part must be non-empty"]);
  assert.match(qualifiedNameProblems("a/b/c").join(), /optional DNS subdomain prefix/);
  assert.deepEqual(labelValueProblems(""), []);
  assert.match(labelValueProblems("a b").join(), /a valid label must be an empty string or/);
  assert.deepEqual(configKeyProblems(".bashrc"), []);
  assert.deepEqual(configKeyProblems(".."), ["must not be '..'"]);
  assert.match(configKeyProblems("a/b").join(), /a valid config key/);
  assert.deepEqual(envVarNameProblems("my.name-1"), []);
  assert.match(envVarNameProblems("A=B").join(), /printable ASCII/);
  assert.match(envVarNameProblems("Ä").join(), /printable ASCII/);
});

test("a generated name keeps its base and is a valid name", () => {
  assert.equal(
    generateName("web-", () => 0),
    "web-bbbbb",
  );
  assert.equal(
    generateName("web-", () => 0.999_999),
    "web-99999",
  );
  const randoms = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }));
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,80}$/), randoms, (base, stream) => {
      const name = generateName(base, () => stream.next().value);
      assert.ok(isDns1123Label(name), name);
      assert.ok(base.startsWith(name.slice(0, -5)));
    }),
  );
});

test("an address has one claim name in its VPC", () => {
  assert.equal(addressClaimName("default", "10.64.0.7"), "default.10-64-0-7");
});
