import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { apiVersionOf } from "../kinds/definition.ts";
import { resourceDefinitions } from "../kinds/index.ts";
import { isObject, type JsonObject } from "../schema/conform.ts";
import { openApiV2Minimal } from "./open-api-v2.ts";
import { openApiV3Document, openApiV3Index } from "./open-api-v3.ts";

function documentAt(path: string): JsonObject {
  const document: unknown = JSON.parse(openApiV3Document(path)?.json ?? "null");
  assert.ok(isObject(document), path);
  return document;
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((found, key) => (isObject(found) ? found[key] : undefined), value);
}

describe("OpenAPI v3", () => {
  it("lists every group version that is served, at a URL that changes with the content", () => {
    const { paths } = openApiV3Index();
    assert.deepEqual(Object.keys(paths), ["api/v1", "apis/coordination.k8s.io/v1", "apis/isopod.dev/v1alpha1"]);
    for (const [path, { serverRelativeURL }] of Object.entries(paths)) {
      assert.equal(serverRelativeURL, `/openapi/v3/${path}?hash=${openApiV3Document(path)?.hash}`);
    }
    assert.equal(openApiV3Document("apis/apps/v1"), undefined);
  });

  it("says for every resource that PATCH validates fields, and how it may be sent", () => {
    for (const definition of resourceDefinitions) {
      const root = definition.group === "" ? "api/v1" : `apis/${apiVersionOf(definition)}`;
      const scope = definition.namespaced ? "/namespaces/{namespace}" : "";
      const patch = at(documentAt(root), "paths", `/${root}${scope}/${definition.plural}/{name}`, "patch");
      const parameters = at(patch, "parameters");
      assert.ok(Array.isArray(parameters));
      assert.ok(parameters.some((parameter) => at(parameter, "name") === "fieldValidation"));
      assert.equal(at(patch, "x-kubernetes-group-version-kind", "kind"), definition.kind);
      const content = at(patch, "requestBody", "content");
      assert.ok(isObject(content));
      assert.equal("application/strategic-merge-patch+json" in content, definition.builtIn);
    }
  });

  it("refers only to schemas that are in the document", () => {
    for (const path of Object.keys(openApiV3Index().paths)) {
      const document = documentAt(path);
      const schemas = at(document, "components", "schemas");
      assert.ok(isObject(schemas));
      const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)];
      assert.ok(references.length > 10);
      for (const [, name = ""] of references) assert.ok(isObject(schemas[name]), name);
    }
  });

  it("carries merge keys and required fields of Kubernetes's kinds, and descriptions of Isopod's", () => {
    const podSpec = at(documentAt("api/v1"), "components", "schemas", "io.k8s.api.core.v1.PodSpec");
    assert.equal(at(podSpec, "properties", "containers", "x-kubernetes-patch-merge-key"), "name");
    assert.deepEqual(at(podSpec, "required"), ["containers"]);
    const vpc = at(documentAt("apis/isopod.dev/v1alpha1"), "components", "schemas", "dev.isopod.v1alpha1.VPCSpec");
    assert.match(String(at(vpc, "properties", "cidr", "description")), /IPv4 range/);
  });
});

describe("OpenAPI v2", () => {
  it("is an empty document that begins with its version", () => {
    const document = Buffer.from(openApiV2Minimal());
    assert.equal(document.subarray(0, 5).toString("latin1"), "\n\x032.0");
    assert.equal(document.subarray(-4).toString("hex"), "42004a00");
  });
});
