import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { GroupVersionKind } from "./conform-to.ts";
import { decodeBody } from "./decode-body.ts";
import { protobufMediaType } from "./media-types.ts";
import { withoutNulls } from "./testdata/without-nulls.ts";

interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

interface Recording {
  readonly command: string;
  readonly bodies: readonly { readonly contentType: string; readonly base64: string }[];
  readonly dryRun?: Kind;
}

function read<Row>(name: string): readonly Row[] {
  return JSON.parse(readFileSync(new URL(`testdata/${name}`, import.meta.url), "utf8")) as Row[];
}

function decode(base64: string, expected: GroupVersionKind) {
  return decodeBody(Buffer.from(base64, "base64"), protobufMediaType, { expected });
}

/** Bodies of commands that have no dry run, and what they must say. */
const withoutDryRun: Readonly<Record<string, Kind>> = {
  "create token robot --duration=10m --audience=a --audience=b": {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: {},
    spec: { audiences: ["a", "b"], expirationSeconds: 600 },
    status: { token: "" },
  },
  "auth can-i create pods --subresource=exec": {
    kind: "SelfSubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    metadata: {},
    spec: { resourceAttributes: { namespace: "default", verb: "create", resource: "pods", subresource: "exec" } },
    status: { allowed: false },
  },
  "auth whoami": {
    kind: "SelfSubjectReview",
    apiVersion: "authentication.k8s.io/v1",
    metadata: {},
    status: { userInfo: {} },
  },
};

for (const version of ["1.32", "1.35"]) {
  describe(`protobuf bodies of kubectl ${version}`, () => {
    for (const { command, bodies, dryRun } of read<Recording>(`kubectl-${version}.json`)) {
      it(`kubectl ${command}`, () => {
        const expected = dryRun ?? withoutDryRun[command];
        assert.ok(expected !== undefined && bodies.length > 0, "recorded");
        for (const body of bodies) {
          assert.equal(body.contentType, protobufMediaType);
          assert.deepEqual(decode(body.base64, expected).object, withoutNulls(expected));
        }
      });
    }
  });
}

describe("protobuf bodies of randomly filled objects", () => {
  interface Vector {
    readonly json: Kind;
    readonly protobuf: string;
  }
  for (const [index, { json, protobuf }] of read<Vector>("objects.json").entries()) {
    it(`object ${index} (${json.kind}) says the same in protobuf and JSON`, () => {
      const expected = withoutNulls(json);
      assert.deepEqual(withoutNulls(decode(protobuf, json).object), expected);
      const fromJson = decodeBody(Buffer.from(JSON.stringify(json)), "application/json", { expected: json });
      assert.deepEqual(withoutNulls(fromJson.object), expected);
      assert.deepEqual(fromJson.strictErrors, []);
    });
  }
});

describe("malformed protobuf bodies", () => {
  const pod = { apiVersion: "v1", kind: "Pod" };
  const envelope = (raw: Buffer) => {
    const length =
      raw.length < 128 ? [raw.length] : [(raw.length & 127) | 128, ((raw.length >> 7) & 127) | 128, raw.length >> 14];
    return Buffer.concat([
      Buffer.from("k8s\0\n\x09\n\x02v1\x12\x03Pod\x12", "latin1"),
      Buffer.from(length),
      raw,
    ]).toString("base64");
  };

  it("are refused when they do not begin as they must", () => {
    assert.throws(() => decode("AAAA", pod), { code: "BadRequest", message: /expected prefix 6b387300/ });
  });

  it("are refused when they end too early, at every length", () => {
    const whole = Buffer.from(read<{ readonly protobuf: string }>("objects.json")[0]?.protobuf ?? "", "base64");
    // The last four bytes are two empty fields of the envelope.
    for (let length = 16; length < whole.length - 4; length += 7) {
      assert.throws(() => decode(whole.subarray(0, length).toString("base64"), pod), { code: "BadRequest" });
    }
  });

  it("are refused when a few bytes stand for too many objects", () => {
    // PodSpec (field 2) full of empty containers (field 2), each of which becomes {"name":"","resources":{}}.
    const containers = Buffer.from("1200".repeat(200_000), "hex");
    const specHead = Buffer.from([
      0x12,
      (containers.length & 127) | 128,
      ((containers.length >> 7) & 127) | 128,
      containers.length >> 14,
    ]);
    assert.throws(() => decode(envelope(Buffer.concat([specHead, containers])), pod), { message: /too many messages/ });
  });

  it("are refused when they are of another kind than the request", () => {
    const [recording] = read<Recording>("kubectl-1.35.json");
    assert.throws(() => decode(recording?.bodies[0]?.base64 ?? "", pod), {
      code: "BadRequest",
      message: /Namespace in version "v1" cannot be handled as a Pod/,
    });
  });
});
