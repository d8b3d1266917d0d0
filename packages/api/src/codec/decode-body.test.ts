import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ApiError } from "../status-error.ts";
import { decodeBody } from "./decode-body.ts";
import { withoutNulls } from "./testdata/without-nulls.ts";

const pod = { apiVersion: "v1", kind: "Pod" };
const decode = (text: string, contentType = "application/json") =>
  decodeBody(Buffer.from(text), contentType, { expected: pod });

function vectors<Row>(name: string): readonly Row[] {
  return JSON.parse(readFileSync(new URL(`testdata/${name}.json`, import.meta.url), "utf8")) as Row[];
}

interface BodyVector {
  readonly kind: string;
  readonly body: string;
  readonly object?: Readonly<Record<string, unknown>>;
  readonly strictErrors?: readonly string[];
  readonly error?: string;
}

describe("decodeBody", () => {
  for (const [index, vector] of vectors<BodyVector>("bodies").entries()) {
    const [apiVersion = "", kind = ""] = vector.kind.split(" ");
    it(`reads body ${index} (${kind}) as k8s.io/apimachinery does`, () => {
      const read = () => decodeBody(Buffer.from(vector.body), "application/json", { expected: { apiVersion, kind } });
      if (vector.error !== undefined) {
        const prefix = `${kind} in version "v1" cannot be handled as a ${kind}: `;
        // Of a bad quantity upstream does not say where it is; here its field and value stand before upstream's words.
        const where = /quantit/.test(vector.error) ? /^[\w.[\]]+: (?:"[^"]*"|\d+|true|false): / : /^/;
        assert.throws(read, (error: unknown) => {
          assert.ok(error instanceof ApiError);
          assert.equal(error.code, "BadRequest");
          assert.ok(error.message.startsWith(prefix), error.message);
          assert.equal(error.message.slice(prefix.length).replace(where, ""), vector.error);
          return true;
        });
        return;
      }
      const { object, strictErrors } = read();
      assert.deepEqual(strictErrors, vector.strictErrors ?? []);
      // With a field twice, upstream merges both and the last one wins here; both are refused under Strict.
      if (strictErrors.some((error) => error.startsWith("duplicate"))) return;
      // Upstream does not fill in a kind it was not told; the kind is the request's here.
      assertWithin(withoutNulls({ ...object, apiVersion: "", kind: "" }), vector.object, "object");
    });
  }

  it("fills in the kind of a body that names none", () => {
    assert.deepEqual(decode('{"metadata":{"name":"p"}}').object, { ...pod, metadata: { name: "p" } });
    assert.deepEqual(decode('{"kind":"","apiVersion":null}').object, pod);
  });

  it("refuses a body of another kind or version", () => {
    assert.throws(() => decode('{"apiVersion":"v1","kind":"Secret"}'), {
      code: "BadRequest",
      message: /Secret in version "v1" cannot/,
    });
    assert.throws(() => decode('{"apiVersion":"v2","kind":"Pod"}'), {
      message: "the API version in the data (v2) does not match the expected API version (v1)",
    });
  });

  it("takes DeleteOptions of any group version", () => {
    const body = '{"apiVersion":"policy/v1","kind":"DeleteOptions","gracePeriodSeconds":5}';
    const expected = { apiVersion: "v1", kind: "DeleteOptions" };
    const { object } = decodeBody(Buffer.from(body), undefined, { expected });
    assert.equal(object["gracePeriodSeconds"], 5);
  });

  it("answers 415 to what it cannot read, and to protobuf for kinds that are not Kubernetes's own", () => {
    assert.throws(() => decode("x", "text/plain"), { code: "UnsupportedMediaType" });
    const vpc = { apiVersion: "isopod.dev/v1alpha1", kind: "VPC" };
    const read = () => decodeBody(Buffer.from("k8s\0"), "application/vnd.kubernetes.protobuf", { expected: vpc });
    assert.throws(read, { code: "UnsupportedMediaType" });
  });

  it("checks the fields of Isopod's kinds as well", () => {
    const vpc = { apiVersion: "isopod.dev/v1alpha1", kind: "VPC" };
    const body = '{"metadata":{"name":"v"},"spec":{"cidr":"10.0.0.0/16","natt":true,"cidr":"10.0.0.0/16"}}';
    assert.deepEqual(decodeBody(Buffer.from(body), undefined, { expected: vpc }).strictErrors, [
      'unknown field "spec.natt"',
      'duplicate field "spec.cidr"',
    ]);
  });

  it("looks for no strict errors when told so, and drops unknown fields all the same", () => {
    const read = decodeBody(Buffer.from('{"a":1,"a":2,"spec":{}}'), undefined, {
      expected: pod,
      ignoreStrictErrors: true,
    });
    assert.deepEqual(read, { object: { ...pod, spec: {} }, strictErrors: [] });
  });

  it("refuses nesting without bound in JSON and YAML", () => {
    const nested = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    assert.throws(() => decode(`{"spec":${nested}}`), { code: "BadRequest", message: /max depth/ });
    assert.throws(() => decode(`spec: ${"[".repeat(300)}${"]".repeat(300)}`, "application/yaml"), {
      code: "BadRequest",
    });
  });

  it("refuses integers that it cannot hold exactly", () => {
    assert.throws(() => decode('{"spec":{"priority":1,"terminationGracePeriodSeconds":9007199254740993}}'), {
      message:
        /cannot unmarshal number 9007199254740992 into Go struct field PodSpec.spec.terminationGracePeriodSeconds/,
    });
  });

  it("never throws anything but an ApiError, whatever the bytes", () => {
    const contentTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.constantFrom(...contentTypes),
        fc.boolean(),
        (bytes, type, hasMagic) => {
          const head = hasMagic ? Buffer.from("k8s\0\n\x09\n\x02v1\x12\x03Pod\x12", "latin1") : Buffer.alloc(0);
          try {
            decodeBody(Buffer.concat([head, bytes]), type, { expected: pod });
          } catch (error) {
            assert.ok(error instanceof ApiError, String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("decodeBody of YAML", () => {
  it("reads YAML 1.1 as Kubernetes does: octal modes, yes and no, times and base-60 look-alikes as text", () => {
    const yaml = [
      "metadata: {name: p, annotations: {at: 2026-01-02T03:04:05Z, port: '22:22'}, labels: {a: b}}",
      "spec:",
      "  hostNetwork: no",
      "  volumes: [{name: v, configMap: {name: c, defaultMode: 0644}}]",
      "  nodeSelector: {time: 12:30:45}",
    ].join("\n");
    const { object, strictErrors } = decode(yaml, "application/yaml");
    assert.deepEqual(strictErrors, []);
    assert.deepEqual(object, {
      ...pod,
      metadata: { name: "p", annotations: { at: "2026-01-02T03:04:05Z", port: "22:22" }, labels: { a: "b" } },
      spec: {
        hostNetwork: false,
        volumes: [{ name: "v", configMap: { name: "c", defaultMode: 0o644 } }],
        nodeSelector: { time: "12:30:45" },
      },
    });
  });

  it("reports keys that come twice with their line, and unknown fields", () => {
    const { strictErrors } = decode("metadata:\n  name: a\n  name: b\nfoo: 1\n", "application/yaml; charset=utf-8");
    assert.deepEqual(strictErrors, [
      'yaml: unmarshal errors: line 3: key "name" already set in map',
      'unknown field "foo"',
    ]);
  });

  it("refuses keys that are no scalars, and bodies beyond 1 MiB", () => {
    assert.throws(() => decode("? [a]\n: b", "application/yaml"), { code: "BadRequest", message: /invalid map key/ });
    const yaml = `metadata: {annotations: {a: ${"x".repeat(1024 * 1024)}}}`;
    assert.throws(() => decode(yaml, "application/yaml"), { code: "BadRequest", message: /1 MiB/ });
  });

  it("refuses several documents, bad syntax and alias bombs", () => {
    assert.throws(() => decode("a: 1\n---\nb: 2\n", "application/yaml"), { code: "BadRequest" });
    assert.throws(() => decode("a: [1\n", "application/yaml"), { code: "BadRequest", message: /converting YAML/ });
    const bomb = `a: &a [x,x,x,x,x,x,x,x]\n${["b", "c", "d", "e", "f"]
      .map((name, index) => `${name}: &${name} [${`*${"abcde"[index]},`.repeat(9)}]`)
      .join("\n")}`;
    assert.throws(() => decode(bomb, "application/yaml"), { code: "BadRequest" });
  });
});

/** `actual` says nothing that `expected` does not say; upstream's encoder adds empty values of its own. */
function assertWithin(actual: unknown, expected: unknown, path: string): void {
  if (Array.isArray(actual)) {
    assert.ok(Array.isArray(expected) && expected.length === actual.length, path);
    actual.forEach((element, index) => assertWithin(element, expected[index], `${path}[${index}]`));
  } else if (typeof actual === "object" && actual !== null) {
    assert.ok(typeof expected === "object" && expected !== null, path);
    const members = new Map(Object.entries(expected));
    for (const [key, value] of Object.entries(actual)) assertWithin(value, members.get(key), `${path}.${key}`);
  } else if (actual !== "" && actual !== 0 && actual !== false) assert.equal(actual, expected, path);
}
