import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { apiVersionOf } from "../kinds/definition.ts";
import { resourceDefinitions } from "../kinds/index.ts";
import { parseObjectTypes } from "./parse-object-types.ts";
import { findBuiltInType, findObjectType } from "./schemas.ts";

describe("schemas", () => {
  it("exist for every kind that is served, with the fields every object has", () => {
    for (const definition of resourceDefinitions) {
      const type = findObjectType(apiVersionOf(definition), definition.kind);
      assert.ok(type !== undefined, definition.kind);
      for (const name of ["apiVersion", "kind", "metadata"])
        assert.ok(type.fields.has(name), `${definition.kind}.${name}`);
      assert.equal(type.fields.has("status"), definition.hasStatus, `${definition.kind}.status`);
      const isBuiltIn = findBuiltInType(apiVersionOf(definition), definition.kind) !== undefined;
      assert.equal(isBuiltIn, definition.builtIn, definition.kind);
    }
  });

  it("describe every field of Isopod's own kinds", () => {
    for (const { group, version, kind } of resourceDefinitions.filter((definition) => !definition.builtIn)) {
      const type = findObjectType(apiVersionOf({ group, version }), kind);
      assert.ok(type?.description, kind);
      for (const field of type.fields.values()) {
        assert.ok(field.description, `${kind}.${field.name}`);
        if (field.type.kind !== "object" || field.name === "metadata") continue;
        for (const inner of field.type.object.fields.values()) {
          assert.ok(inner.description, `${kind}.${field.name}.${inner.name}`);
        }
      }
    }
  });

  it("serve options and Status under any group version", () => {
    assert.equal(findObjectType("policy/v1", "DeleteOptions"), findObjectType("v1", "DeleteOptions"));
    assert.equal(findObjectType("policy/v1", "Pod"), undefined);
  });
});

describe("parseObjectTypes", () => {
  it("reads fields, flags and flattened types", () => {
    const [kind] = parseObjectTypes(
      [
        "* example.org/v1 Thing org.example.v1.Thing",
        "= org.example.v1.Thing -- A thing.",
        "names []str 1 or list=set patch=merge -- Its names.",
        "> org.example.v1.Source 2",
        "= org.example.v1.Source map=atomic",
        "type @v1.SourceType:str 1 p",
      ].join("\n"),
    );
    assert.equal(kind?.type.description, "A thing.");
    const names = kind.type.fields.get("names");
    assert.deepEqual([names?.isRequired, names?.isOmittedWhenEmpty, names?.isPointer], [true, true, false]);
    assert.deepEqual([names?.listType, names?.patchStrategies, names?.type.goName], ["set", ["merge"], "[]string"]);
    const type = kind.type.fields.get("type");
    assert.deepEqual([type?.goPath, type?.type.goName, type?.isPointer], ["Source.type", "v1.SourceType", true]);
  });

  it("throws at what it cannot read", () => {
    assert.throws(() => parseObjectTypes("a str 1 o"), /before any type/);
    assert.throws(() => parseObjectTypes("= x.T\na string 1 o"), /unknown field type string/);
    assert.throws(() => parseObjectTypes("= x.T\na x.U 1 o"), /x\.U is used but not declared/);
    assert.throws(() => parseObjectTypes("= x.T\na"), /not a field/);
  });
});
