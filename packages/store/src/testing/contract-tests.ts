import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Store, StoreEvent } from "../contract.ts";
import { isStoreError, type StoreErrorCode } from "../errors.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : new TextDecoder().decode(value));

function failsWith(code: StoreErrorCode) {
  return (error: unknown) => isStoreError(error, code);
}

/** Reads a watch until `count` events have come. */
async function collect(store: Store, prefix: string, after: number, count: number): Promise<readonly StoreEvent[]> {
  const stop = new AbortController();
  const events: StoreEvent[] = [];
  for await (const batch of store.watch(prefix, after, stop.signal)) {
    events.push(...batch.events);
    if (events.length >= count) stop.abort();
  }
  return events;
}

/** What every backend of the store promises. `open` makes an empty store; the tests close it. */
export function storeContractTests(name: string, open: () => Promise<Store>): void {
  describe(`${name} keeps the store's contract`, () => {
    it("a created value is read back with its revisions", async () => {
      await using store = await open();
      const created = await store.create("/pods/a/x", bytes("1"));
      const read = await store.get("/pods/a/x");
      assert.equal(text(read?.value), "1");
      assert.equal(read?.modRevision, created.modRevision);
      assert.equal(read?.createRevision, created.modRevision);
      assert.equal(await store.currentRevision(), created.modRevision);
      assert.equal(await store.get("/pods/a/y"), undefined);
    });

    it("a key cannot be created twice, but again after its deletion", async () => {
      await using store = await open();
      const first = await store.create("/k/a", bytes("1"));
      await assert.rejects(store.create("/k/a", bytes("2")), failsWith("AlreadyExists"));
      const deleted = await store.delete("/k/a", first.modRevision);
      assert.equal(text(deleted.value), "1");
      assert.ok(deleted.modRevision > first.modRevision);
      const second = await store.create("/k/a", bytes("3"));
      assert.equal(second.createRevision, second.modRevision);
      assert.ok(second.modRevision > deleted.modRevision);
    });

    it("an update needs the current revision and keeps the creation's", async () => {
      await using store = await open();
      const first = await store.create("/k/a", bytes("1"));
      const second = await store.update("/k/a", bytes("2"), first.modRevision);
      assert.equal(second.createRevision, first.createRevision);
      await assert.rejects(store.update("/k/a", bytes("3"), first.modRevision), failsWith("Conflict"));
      await assert.rejects(store.delete("/k/a", first.modRevision), failsWith("Conflict"));
      await assert.rejects(store.update("/k/none", bytes("3"), 1), failsWith("NotFound"));
      await assert.rejects(store.delete("/k/none", 1), failsWith("NotFound"));
      assert.equal(text((await store.get("/k/a"))?.value), "2");
    });

    it("of many writers that saw the same version exactly one wins", async () => {
      await using store = await open();
      const first = await store.create("/k/a", bytes("0"));
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) => store.update("/k/a", bytes(String(index + 1)), first.modRevision)),
      );
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") assert.ok(failsWith("Conflict")(outcome.reason));
    });

    it("revisions are one sequence over all keys", async () => {
      await using store = await open();
      const writes = await Promise.all(
        Array.from({ length: 50 }, (_, index) => store.create(`/k${index % 3}/${index}`, bytes("v"))),
      );
      const revisions = writes.map(({ modRevision }) => modRevision);
      assert.equal(new Set(revisions).size, 50);
      assert.equal(Math.max(...revisions), await store.currentRevision());
    });

    it("lists a prefix in byte order and nothing beside it", async () => {
      await using store = await open();
      for (const key of ["/pods/b/1", "/pods/a/2", "/pods/a/10", "/pods-x/a/1", "/pod/a", "/pods/a/é"]) {
        await store.create(key, bytes(key));
      }
      const { items, remainingCount } = await store.list("/pods/");
      assert.deepEqual(
        items.map(({ key }) => key),
        ["/pods/a/10", "/pods/a/2", "/pods/a/é", "/pods/b/1"],
      );
      assert.equal(remainingCount, 0);
      assert.deepEqual(
        (await store.list("/pods/b/")).items.map(({ key }) => key),
        ["/pods/b/1"],
      );
    });

    it("pages through a list at one revision while it changes", async () => {
      await using store = await open();
      for (let index = 0; index < 7; index++) await store.create(`/k/${index}`, bytes(String(index)));
      const first = await store.list("/k/", { limit: 3 });
      assert.equal(first.items.length, 3);
      assert.equal(first.remainingCount, 4);
      const doomed = await store.get("/k/5");
      await store.delete("/k/5", doomed?.modRevision ?? 0);
      await store.create("/k/55", bytes("new"));
      const rest = await store.list("/k/", { after: "/k/2", revision: first.revision });
      assert.equal(rest.revision, first.revision);
      assert.deepEqual(
        rest.items.map(({ key }) => key),
        ["/k/3", "/k/4", "/k/5", "/k/6"],
      );
      assert.equal((await store.list("/k/", { limit: 3, skipCount: true })).remainingCount, 1);
      const exact = await store.list("/k/", { limit: 7 });
      assert.equal(exact.remainingCount, 0);
    });

    it("reads the past by revision and refuses the future", async () => {
      await using store = await open();
      const first = await store.create("/k/a", bytes("1"));
      const second = await store.update("/k/a", bytes("2"), first.modRevision);
      assert.equal(text((await store.get("/k/a", first.modRevision))?.value), "1");
      await store.delete("/k/a", second.modRevision);
      assert.equal(text((await store.get("/k/a", second.modRevision))?.value), "2");
      assert.equal(await store.get("/k/a"), undefined);
      await assert.rejects(store.get("/k/a", 1_000_000), failsWith("FutureRevision"));
      await assert.rejects(store.list("/k/", { revision: 1_000_000 }), failsWith("FutureRevision"));
    });

    it("compaction forgets history and keeps current versions", async () => {
      await using store = await open();
      const old = await store.create("/k/old", bytes("kept"));
      const first = await store.create("/k/a", bytes("1"));
      const second = await store.update("/k/a", bytes("2"), first.modRevision);
      const gone = await store.create("/k/gone", bytes("x"));
      await store.delete("/k/gone", gone.modRevision);
      const target = await store.currentRevision();
      const third = await store.update("/k/a", bytes("3"), second.modRevision);
      await store.compact(target);
      await assert.rejects(store.get("/k/a", first.modRevision), failsWith("Compacted"));
      await assert.rejects(store.list("/k/", { revision: first.modRevision }), failsWith("Compacted"));
      assert.equal(text((await store.get("/k/a", target))?.value), "2");
      assert.equal(text((await store.get("/k/a"))?.value), "3");
      assert.equal((await store.get("/k/old"))?.modRevision, old.modRevision);
      const again = await store.create("/k/gone", bytes("again"));
      assert.ok(again.modRevision > third.modRevision);
      await assert.rejects(collect(store, "/k/", first.modRevision, 1), failsWith("Compacted"));
      const events = await collect(store, "/k/", target, 2);
      assert.deepEqual(
        events.map(({ key, previous }) => [key, text(previous?.value)]),
        [
          ["/k/a", "2"],
          ["/k/gone", undefined],
        ],
      );
    });

    it("a watch gives every event after its revision once, in order, from the past into the present", async () => {
      await using store = await open();
      const before = await store.create("/w/0", bytes("0"));
      for (let index = 1; index <= 20; index++) await store.create(`/w/${index}`, bytes("v"));
      const watching = collect(store, "/w/", before.modRevision, 60);
      const writing = Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          Promise.all([store.create(`/w/${index + 21}`, bytes("v")), store.create(`/other/${index}`, bytes("v"))]),
        ),
      );
      const events = await watching;
      await writing;
      assert.equal(events.length, 60);
      assert.equal(new Set(events.map(({ key }) => key)).size, 60);
      assert.ok(events.every(({ key }) => key.startsWith("/w/")));
      for (const [index, event] of events.entries()) {
        if (index > 0) assert.ok(event.revision > (events[index - 1]?.revision ?? 0));
      }
    });

    it("watch events tell what was there before", async () => {
      await using store = await open();
      const start = await store.create("/w/other", bytes("-"));
      const live = collect(store, "/w/", start.modRevision, 3);
      const first = await store.create("/w/a", bytes("1"));
      const second = await store.update("/w/a", bytes("2"), first.modRevision);
      const deleted = await store.delete("/w/a", second.modRevision);
      const expected = [
        ["put", first.modRevision, "1", undefined],
        ["put", second.modRevision, "2", "1"],
        ["delete", deleted.modRevision, "2", "2"],
      ];
      const shape = (events: readonly StoreEvent[]) =>
        events.map((event) => [event.type, event.revision, text(event.current.value), text(event.previous?.value)]);
      assert.deepEqual(shape(await live), expected);
      assert.deepEqual(shape(await collect(store, "/w/", start.modRevision, 3)), expected);
    });

    it("a watcher that does not read is not fed without bound, and still misses nothing", async () => {
      await using store = await open();
      const start = await store.create("/w/start", bytes("-"));
      const stop = new AbortController();
      const watching = store.watch("/w/", start.modRevision, stop.signal)[Symbol.asyncIterator]();
      await watching.next();
      const total = 6000;
      for (let from = 0; from < total; from += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, index) => store.create(`/w/${from + index}`, bytes("v"))));
      }
      const revisions: number[] = [];
      while (revisions.length < total) {
        const next = await watching.next();
        assert.ok(next.done !== true);
        assert.ok(next.value.events.length <= 5000, "a batch stays bounded");
        revisions.push(...next.value.events.map(({ revision }) => revision));
      }
      assert.equal(new Set(revisions).size, total);
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      );
      stop.abort();
      assert.equal((await watching.next()).done, true);
    });

    it("an idle watch learns of progress elsewhere", async () => {
      await using store = await open();
      const start = await store.create("/a/x", bytes("-"));
      const stop = new AbortController();
      const elsewhere = store.create("/b/x", bytes("-"));
      for await (const { revision, events } of store.watch("/a/", start.modRevision, stop.signal)) {
        assert.equal(events.length, 0);
        if (revision >= (await elsewhere).modRevision) stop.abort();
      }
    });

    it("a watch of the future is refused", async () => {
      await using store = await open();
      await assert.rejects(collect(store, "/a/", 1_000_000, 1), failsWith("FutureRevision"));
    });

    it("a closed store refuses calls and ends its watches", async () => {
      const store = await open();
      const start = await store.create("/a/x", bytes("-"));
      const watching = store.watch("/a/", start.modRevision, new AbortController().signal)[Symbol.asyncIterator]();
      await watching.next();
      const next = assert.rejects(watching.next(), failsWith("Closed"));
      await store[Symbol.asyncDispose]();
      await next;
      await assert.rejects(store.create("/a/y", bytes("-")), failsWith("Closed"));
      await assert.rejects(store.get("/a/x"), failsWith("Closed"));
    });
  });
}
