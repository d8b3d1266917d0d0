import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, truncate } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type LayerEntry, packLayout, writeDerivedImage } from "../harness/derived-image.ts";
import { Installation } from "../harness/installation.ts";
import { awaitEvents, createPod, deletePod, podUntil, shellPod, statusOf } from "../harness/pods.ts";
import { startStallingRegistry } from "../harness/stalling-registry.ts";

describe("images", { concurrency: 3 }, () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start({ upArguments: ["--registry-stall-timeout", "3"] });
  });
  after(async () => await e2e.stop());

  /** Pushes busybox with one more layer as `name`; the layer's digest. */
  const pushDerived = async (name: string, entries: readonly LayerEntry[]): Promise<string> => {
    const layout = join(e2e.directory, `${name.replace(":", "-")}-layout`);
    await writeDerivedImage(e2e.registry, layout, entries);
    await e2e.registry.push(layout, name);
    const [repository = "", tag = ""] = name.split(":");
    return (await e2e.registry.manifest(repository, tag)).layers.at(-1)?.digest ?? "";
  };

  /** `isopod run` of an image that cannot be had: 125, and a word on what and why. */
  const refused = async (image: string, ...patterns: readonly RegExp[]): Promise<void> => {
    const { exitCode, stderr } = await e2e.isopod(["run", "--rm", image, "--", "true"]);
    assert.equal(exitCode, 125, stderr);
    for (const pattern of patterns) assert.match(stderr, pattern);
  };

  test("that are not there are told with what to do, and tried again", async () => {
    const image = `${e2e.registry.host}/nobody/has-this:1`;
    await refused(image, /pull: .*nobody\/has-this/, /Check the name and the tag/);
    await createPod(e2e, shellPod(e2e, "true", { name: "imageless", container: { image } }));
    const failed = await podUntil(e2e, "imageless", "cannot pull", (pod) => {
      return statusOf(pod).state?.waiting?.reason === "ErrImagePull";
    });
    assert.equal(failed.status?.phase, "Pending");
    const waiting = await podUntil(e2e, "imageless", "backs off", (pod) => {
      return statusOf(pod).state?.waiting?.reason === "ImagePullBackOff";
    });
    assert.match(statusOf(waiting).state?.waiting?.message ?? "", /nobody\/has-this.*Check the name and the tag/);
    const [event = ""] = await awaitEvents(e2e, "imageless", "Failed");
    assert.match(event, /Failed to pull image/);
    await deletePod(e2e, "imageless");
  });

  test("with a digest that is another's are refused", async () => {
    await refused(`${e2e.registry.host}/busybox@sha256:${"0".repeat(64)}`, /busybox@sha256:000/);
  });

  test("whose layer the registry holds in part are refused, and nothing of them is kept", async () => {
    const digest = await pushDerived("truncated:1", [[{ name: "large" }, randomBytes(300_000)]]);
    await truncate(e2e.registry.blobPath(digest), 100_000);
    await refused(`${e2e.registry.host}/truncated:1`, /pull: /, /Push the image again/);
    assert.doesNotMatch((await e2e.isopod(["images"])).stdout, /truncated/);
  });

  test("whose layer is not what its digest says are refused", async () => {
    const digest = await pushDerived("altered:1", [[{ name: "large" }, randomBytes(300_000)]]);
    await using file = await open(e2e.registry.blobPath(digest), "r+");
    await file.write(randomBytes(1000), 0, 1000, 150_000);
    await refused(`${e2e.registry.host}/altered:1`, /pull: |convert: /);
    assert.doesNotMatch((await e2e.isopod(["images"])).stdout, /altered/);
  });

  test("from a registry that stalls half-way through a layer are given up in time", async () => {
    await pushDerived("slow:1", [[{ name: "large" }, randomBytes(1_000_000)]]);
    await using stalling = await startStallingRegistry(e2e.registry);
    await refused(`${stalling.host}/slow:1`, /sent nothing, or next to nothing/, /Try again/);
  });

  test("that climb out of their root are refused by the entry's name", async () => {
    const cases: readonly (readonly [string, LayerEntry, RegExp])[] = [
      ["dots", [{ name: "../../etc/evil" }, "x"], /\.\.\/\.\.\/etc\/evil/],
      ["hard-link", [{ name: "passwd", type: "link", linkname: "../../../etc/shadow" }], /passwd/],
    ];
    for (const [name, entry, pattern] of cases) {
      const layout = join(e2e.directory, `${name}-layout`);
      await writeDerivedImage(e2e.registry, layout, [entry]);
      const { exitCode, stderr } = await e2e.isopod(["image", "load", "--name", `${name}:1`, await packLayout(layout)]);
      assert.equal(exitCode, 1, name);
      assert.match(stderr, pattern);
      assert.match(stderr, /do not trust this one/);
      assert.doesNotMatch((await e2e.isopod(["images"])).stdout, new RegExp(name));
    }
  });

  test("with absolute names and links have them below their own root, never the host's", async () => {
    const layout = join(e2e.directory, "absolute-layout");
    await writeDerivedImage(e2e.registry, layout, [
      [{ name: "/absolute" }, "mine\n"],
      [{ name: "shadow", type: "symlink", linkname: "/etc/shadow" }],
      [{ name: "hostname", type: "symlink", linkname: "/../../../../absolute" }],
    ]);
    const loaded = await e2e.isopod(["image", "load", "--name", "absolute:1", await packLayout(layout)]);
    assert.equal(loaded.exitCode, 0, loaded.stderr);
    const args = ["run", "--rm", "--pull", "never", "absolute:1", "--"];
    const { stdout } = await e2e.isopod([...args, "sh", "-c", "cat /absolute /hostname; cat /shadow 2>&1"]);
    assert.match(stdout, /^mine\nmine\ncat: .*No such file/);
  });

  test("are loaded, listed, held while they run, and removed", async () => {
    const layout = join(e2e.directory, "loaded-layout");
    await writeDerivedImage(e2e.registry, layout, [[{ name: "loaded" }, "yes\n"]]);
    const path = await packLayout(layout);
    assert.equal((await e2e.isopod(["image", "load", "--name", "loaded:1", path])).exitCode, 0);
    assert.match((await e2e.isopod(["images"])).stdout, /loaded:1/);
    const container = { image: "loaded:1", imagePullPolicy: "Never" as const };
    await createPod(e2e, shellPod(e2e, "cat /loaded; sleep 600", { name: "holder", container }));
    await podUntil(e2e, "holder", "runs", (pod) => statusOf(pod).state?.running !== undefined);
    await deletePod(e2e, "holder");
    assert.equal((await e2e.isopod(["image", "rm", "loaded:1"])).exitCode, 0);
    assert.doesNotMatch((await e2e.isopod(["images"])).stdout, /loaded:1/);
  });
});
