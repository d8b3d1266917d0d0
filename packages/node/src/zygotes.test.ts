import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@isopod/base";
import type { Template } from "@isopod/vmm";
import { Zygotes } from "./zygotes.ts";

const templates = [1, 2, 3, 4, 5, 6].map(
  (number): Template => ({
    id: `t${number}`,
    shape: { vcpus: 1, memoryMiB: 256, scratchBytes: 4096 },
    sizeBytes: 0,
    builtMicros: 0,
    isLoaded: true,
    hasZygote: false,
    unload: async () => {},
  }),
);

/** Zygotes of six templates in use; `fail` throws for what a test wants to fail. */
function startZygotes(fail: (what: string) => void) {
  const done: string[] = [];
  const act = async (what: string): Promise<void> => {
    fail(what);
    done.push(what);
  };
  const zygotes = new Zygotes({
    templates: {
      keepZygote: async ({ id }) => await act(`keep ${id}`),
      dropZygote: async ({ id }) => await act(`drop ${id}`),
    },
    logger: silentLogger,
    makeScratch: () => async () => ({ backingPath: "/nowhere" }),
    used: async () => {
      await act("list");
      return templates;
    },
  });
  return { zygotes, done };
}

test("a zygote that cannot be removed keeps no other from being removed or made, and is tried again", async () => {
  let isFailing = true;
  const { zygotes, done } = startZygotes((what) => {
    if (isFailing && what === "drop t5") throw new Error("its cgroup is busy");
  });
  await zygotes.keep();
  assert.deepEqual(done, ["list", "drop t6", "keep t1", "keep t2", "keep t3", "keep t4"]);
  isFailing = false;
  done.length = 0;
  await zygotes.keep();
  assert.deepEqual(done.slice(0, 3), ["list", "drop t5", "drop t6"]);
  await zygotes.close();
});

test("templates that cannot be listed are listed again the next time", async () => {
  let isFailing = true;
  const { zygotes, done } = startZygotes((what) => {
    if (isFailing && what === "list") throw new Error("too many open files");
  });
  await zygotes.keep();
  assert.equal(done.length, 0);
  isFailing = false;
  await zygotes.keep();
  assert.ok(done.includes("keep t1"));
  await zygotes.close();
});
