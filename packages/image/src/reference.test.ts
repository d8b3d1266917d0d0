import assert from "node:assert/strict";
import { test } from "node:test";
import { isImageError } from "./image-error.ts";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

const normalised: readonly (readonly [string, string])[] = [
  ["busybox", "docker.io/library/busybox:latest"],
  ["busybox:1.36", "docker.io/library/busybox:1.36"],
  ["library/busybox", "docker.io/library/busybox:latest"],
  ["user/app", "docker.io/user/app:latest"],
  ["docker.io/busybox", "docker.io/library/busybox:latest"],
  ["index.docker.io/user/app:v1", "docker.io/user/app:v1"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app", "localhost:5000/app:latest"],
  ["ghcr.io/a/b/c:Tag_1.0-x", "ghcr.io/a/b/c:Tag_1.0-x"],
  ["127.0.0.1:5000/a__b/c-d.e", "127.0.0.1:5000/a__b/c-d.e:latest"],
  ["[::1]:5000/app", "[::1]:5000/app:latest"],
  [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
  [`quay.io/a/b:v1@${digest}`, `quay.io/a/b@${digest}`],
];

test("names are completed as Docker does", () => {
  for (const [text, expected] of normalised) assert.equal(formatReference(parseReference(text)), expected);
});

test("a normalised name is its own normal form", () => {
  for (const [, expected] of normalised) assert.equal(formatReference(parseReference(expected)), expected);
});

test("what is no image name is refused with a reason", () => {
  const refused = ["", "Busybox", "a//b", "a/b:", "a:b:c", "/a", "a/", "a@sha256:12", "a@md5:00", "-a", "a b", "a/b?x"];
  for (const text of [...refused, `a:${"x".repeat(129)}`, "x".repeat(2000), "reg.io:99999999/a", "../../etc"]) {
    assert.throws(
      () => parseReference(text),
      (error) => isImageError(error, "InvalidReference"),
      text,
    );
  }
});
