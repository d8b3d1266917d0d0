import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeCommand, LineSplitter, maxLineBytes, parseMessage } from "./qmp-codec.ts";

describe("QMP messages", () => {
  it("are told apart", () => {
    assert.deepEqual(parseMessage('{"QMP": {"version": {}, "capabilities": []}}'), { type: "greeting" });
    assert.deepEqual(parseMessage('{"return": {"a": 1}, "id": 7}'), { type: "return", id: 7, value: { a: 1 } });
    const refusal = parseMessage('{"error": {"class": "GenericError", "desc": "no"}, "id": 7}');
    assert.deepEqual(refusal, { type: "error", id: 7, errorClass: "GenericError", description: "no" });
    assert.deepEqual(parseMessage('{"event": "STOP", "timestamp": {}}'), { type: "event", name: "STOP", data: {} });
  });

  it("are refused when they are none", () => {
    for (const line of ["", "7", "[]", "null", "{}", '{"return": {}}', "{"]) {
      assert.throws(() => parseMessage(line), SyntaxError, line);
    }
  });

  it("are commands of one line whatever they carry", () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.jsonValue()), (command, args) => {
        const line = encodeCommand(1, command, args);
        assert.equal(line.indexOf("\n"), line.length - 1);
        assert.equal(JSON.parse(line).execute, command);
      }),
    );
  });
});

describe("the line splitter", () => {
  it("gives the same lines however the stream is cut", () => {
    const text = fc.array(fc.string({ unit: "binary" }).map((one) => one.replaceAll(/[\r\n]/g, "").trim()));
    fc.assert(
      fc.property(text, fc.array(fc.nat(200)), (lines, cuts) => {
        const stream = Buffer.from(lines.map((line) => `${line}\r\n`).join(""));
        const splitter = new LineSplitter();
        const received: string[] = [];
        let from = 0;
        for (const length of [...cuts, stream.length]) {
          received.push(...splitter.push(stream.subarray(from, from + length)));
          from = Math.min(stream.length, from + length);
        }
        const expected = lines.map((line) => Buffer.from(line).toString().trim()).filter((line) => line !== "");
        assert.deepEqual(received, expected);
      }),
    );
  });

  it("refuses a line without end", () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(64 * 1024, "x");
    assert.throws(() => {
      for (let sent = 0; sent <= maxLineBytes; sent += chunk.length) splitter.push(chunk);
    }, RangeError);
  });
});
