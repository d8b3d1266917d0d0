import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "./kinds/index.ts";
import {
  alreadyExists,
  apiErrorFromStatus,
  badRequest,
  conflict,
  expired,
  forbidden,
  internal,
  invalid,
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  methodNotAllowed,
  notFound,
  resourceVersionTooLarge,
} from "./status-error.ts";

const { pods, leases, vpcs } = resources;

test("messages are the ones kubectl users know", () => {
  assert.equal(notFound(pods, "x").message, 'pods "x" not found');
  assert.equal(notFound(leases, "x").message, 'leases.coordination.k8s.io "x" not found');
  assert.equal(alreadyExists(vpcs, "x").message, 'vpcs.isopod.dev "x" already exists');
  assert.match(
    conflict(pods, "x").message,
    /^Operation cannot be fulfilled on pods "x": the object has been modified;/,
  );
  assert.equal(forbidden(pods, "x", "no").message, 'pods "x" is forbidden: no');
  assert.equal(methodNotAllowed(pods, "create").message, 'create is not supported on resources of kind "pods"');
});

test("an invalid object lists its causes, one bare and several in brackets", () => {
  const image = { reason: "FieldValueRequired", message: "Required value", field: "spec.containers[0].image" } as const;
  const name = { ...image, field: "spec.containers[0].name" };
  assert.equal(invalid(pods, "x", [image]).message, 'Pod "x" is invalid: spec.containers[0].image: Required value');
  const both = invalid(vpcs, "x", [image, name, name]);
  assert.equal(
    both.message,
    'VPC.isopod.dev "x" is invalid: [spec.containers[0].image: Required value, spec.containers[0].name: Required value]',
  );
  assert.deepEqual(both.status.details, { group: "isopod.dev", kind: "VPC", name: "x", causes: [image, name, name] });
});

test("the status is complete, as it goes over the wire", () => {
  assert.deepEqual(notFound(pods, "x").status, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: 'pods "x" not found',
    reason: "NotFound",
    details: { name: "x", kind: "pods" },
    code: 404,
  });
  assert.deepEqual(expired("gone", "token").status.metadata, { continue: "token" });
  assert.equal(resourceVersionTooLarge("9", "3").status.details?.causes?.[0]?.reason, "ResourceVersionTooLarge");
});

test("errors are known by reason, also as the cause of another", () => {
  const wrapped = new Error("outer", { cause: notFound(pods, "x") });
  assert.equal(isNotFound(wrapped), true);
  assert.equal(isNotFound(badRequest("x")), false);
  assert.equal(isConflict(conflict(pods, "x")), true);
  assert.equal(isAlreadyExists(alreadyExists(pods, "x")), true);
  assert.equal(isExpired(expired("x")), true);
});

test("a received status is known by its reason, else by its code", () => {
  const received = (reason: string | undefined, code: number) => {
    const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", code } as const;
    return apiErrorFromStatus(reason === undefined ? status : { ...status, reason }).code;
  };
  assert.equal(received("AlreadyExists", 409), "AlreadyExists");
  assert.equal(received(undefined, 409), "Conflict");
  assert.equal(received("Gone", 410), "Gone");
  assert.equal(received("FromTheFuture", 404), "NotFound");
  assert.equal(received(undefined, 418), "BadRequest");
  assert.equal(received(undefined, 599), "InternalError");
});

test("the cause of an internal error stays in the process", () => {
  const error = internal("the store is closed", new Error("secret path"));
  assert.doesNotMatch(JSON.stringify(error.status), /secret/);
  assert.ok(error.cause instanceof Error);
});
