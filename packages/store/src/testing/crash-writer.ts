/** Writes until it is killed, printing `key revision` after each acknowledgement; for the crash test. */
import { writeSync } from "node:fs";
import { systemClock } from "@isopod/base";
import { openSqliteStore } from "../sqlite/open.ts";

const [path = "", round = ""] = process.argv.slice(2);
const store = await openSqliteStore({ path, clock: systemClock });
const value = new Uint8Array(2000).fill(1);

async function writer(id: number): Promise<never> {
  for (let index = 0; ; index++) {
    const key = `/crash/${round}/${id}/${index}`;
    const { modRevision } = await store.create(key, value);
    writeSync(1, `${key} ${modRevision}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, id) => writer(id)));
