import assert from "node:assert/strict";
import { runInFork, type TestFork } from "./fork-host.ts";
import { rdrandProgram } from "./rdrand-program.ts";

/** Runs a shell script in each of them at once and returns what each wrote. */
export async function runInEach(forks: readonly TestFork[], script: string): Promise<readonly string[]> {
  return await Promise.all(forks.map(async (fork) => await runInFork(fork, script)));
}

/** For forks that have drawn nothing yet. */
export async function assertOwnRandomness(forks: readonly TestFork[]): Promise<void> {
  // Bytes, an identifier the kernel draws, and where it put the stack: each of another of the kernel's generators. Then
  // the processor's, which is the monitor's.
  const script =
    "head -c 64 /dev/urandom | xxd -p -c 64; cat /proc/sys/kernel/random/uuid; grep stack /proc/self/maps; " +
    `cd /tmp; printf '${rdrandProgram()}' >rdrand; chmod +x rdrand; ./rdrand | xxd -p`;
  const drawn = [...(await runInEach(forks, script)), ...(await runInEach(forks, script))].flatMap((text) =>
    text.split("\n"),
  );
  assert.equal(drawn.length, 8 * forks.length, drawn.join("\n"));
  assert.equal(new Set(drawn).size, drawn.length, drawn.join("\n"));
}

export async function assertOwnBootIds(forks: readonly TestFork[]): Promise<void> {
  const look = "cat /proc/sys/kernel/random/boot_id";
  const ids = await runInEach(forks, look);
  assert.equal(new Set(ids).size, forks.length);
  assert.deepEqual(await runInEach(forks, look), ids);
}

export async function assertOwnNames(forks: readonly TestFork[]): Promise<void> {
  const seen = await runInEach(
    forks,
    "hostname; cat /sys/class/net/eth0/address; ip -4 addr show eth0 | grep -c 'inet 10.0.0.'",
  );
  const expected = forks.map(({ spec }) => `${spec.id}\n${spec.network?.macAddress}\n1`);
  assert.deepEqual(seen, expected);
}

export async function assertHostTime(forks: readonly TestFork[]): Promise<void> {
  const assertTime = async (fork: TestFork): Promise<void> => {
    const beforeMs = performance.now();
    const earliest = Math.floor(Date.now() / 1000);
    const text = await runInFork(fork, "date +%s; cut -d ' ' -f 1 /proc/uptime; sleep 2; cut -d ' ' -f 1 /proc/uptime");
    const elapsedSeconds = (performance.now() - beforeMs) / 1000;
    const [wall = 0, start = 0, end = 0] = text.split("\n").map(Number);
    assert.ok(wall >= earliest - 1 && wall <= Date.now() / 1000 + 1, `${wall} at ${earliest}`);
    // The guest tells hundredths.
    assert.ok(end - start >= 1.98 && end - start <= elapsedSeconds + 0.02, `${end - start} s in ${elapsedSeconds} s`);
  };
  await Promise.all(forks.map(assertTime));
}

export async function assertOwnDisks(forks: readonly TestFork[]): Promise<void> {
  const written = await runInEach(
    forks,
    "ls -A /tmp; hostname >/tmp/mine; sync; cat /tmp/mine; df -m / | tail -1 | tr -s ' ' | cut -d ' ' -f 2",
  );
  for (const [index, text] of written.entries()) {
    const [name, sizeMiB] = text.split("\n");
    assert.equal(name, forks[index]?.spec.id);
    assert.ok(Number(sizeMiB) > 32 && Number(sizeMiB) <= 64, text);
  }
}
