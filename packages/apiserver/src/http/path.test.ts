import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isApiErrorCode } from "../testing/assertions.ts";
import { parsePath } from "./path.ts";

const target = (over: object) => ({
  type: "resource",
  group: "",
  version: "v1",
  namespace: "",
  resource: "",
  name: "",
  subresource: "",
  rest: "",
  ...over,
});

describe("API paths", () => {
  it("name collections, objects and subresources", () => {
    assert.deepEqual(parsePath("/api/v1/pods"), target({ resource: "pods" }));
    assert.deepEqual(
      parsePath("/api/v1/nodes/n1/status"),
      target({ resource: "nodes", name: "n1", subresource: "status" }),
    );
    assert.deepEqual(
      parsePath("/api/v1/namespaces/a/pods/p/log"),
      target({ namespace: "a", resource: "pods", name: "p", subresource: "log" }),
    );
    assert.deepEqual(
      parsePath("/apis/coordination.k8s.io/v1/namespaces/a/leases/l"),
      target({ group: "coordination.k8s.io", namespace: "a", resource: "leases", name: "l" }),
    );
  });

  it("treat namespaces as resources and as places", () => {
    assert.deepEqual(parsePath("/api/v1/namespaces"), target({ resource: "namespaces" }));
    assert.deepEqual(parsePath("/api/v1/namespaces/a"), target({ resource: "namespaces", name: "a" }));
    assert.deepEqual(
      parsePath("/api/v1/namespaces/a/finalize"),
      target({ resource: "namespaces", name: "a", subresource: "finalize" }),
    );
    assert.deepEqual(
      parsePath("/api/v1/namespaces/a/status"),
      target({ resource: "namespaces", name: "a", subresource: "status" }),
    );
  });

  it("keep what follows a subresource as it came", () => {
    assert.deepEqual(
      parsePath("/api/v1/nodes/n1/proxy/images/a%2Fb/"),
      target({ resource: "nodes", name: "n1", subresource: "proxy", rest: "/images/a%2Fb/" }),
    );
    assert.deepEqual(
      parsePath("/api/v1/nodes/n1/proxy/"),
      target({ resource: "nodes", name: "n1", subresource: "proxy", rest: "" }),
    );
  });

  it("decode names and refuse what cannot be decoded", () => {
    assert.deepEqual(
      parsePath("/apis/isopod.dev/v1alpha1/addressclaims/default.10%2E0"),
      target({ group: "isopod.dev", version: "v1alpha1", resource: "addressclaims", name: "default.10.0" }),
    );
    assert.throws(() => parsePath("/api/v1/pods/%ff"), isApiErrorCode(400));
  });

  it("leave everything else alone", () => {
    for (const path of [
      "/",
      "/api",
      "/api/v1",
      "/apis",
      "/apis/apps",
      "/apis/apps/v1",
      "/version",
      "/api/v1/",
      "/healthz",
    ]) {
      assert.equal(parsePath(path).type, "other", path);
    }
  });
});
