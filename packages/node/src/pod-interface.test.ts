import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetworkInterface } from "@isopod/api";
import type { ChangeHandler } from "@isopod/client";
import { interfaceOf } from "./pod-interface.ts";

const eni: NetworkInterface = {
  apiVersion: "isopod.dev/v1alpha1",
  kind: "NetworkInterface",
  metadata: { name: "web", namespace: "shop" },
  spec: { vpc: "default", podName: "web", podUID: "uid-1", address: "10.0.0.2", macAddress: "02:00:00:00:00:02" },
};

function startInterfaces(known: readonly NetworkInterface[] = []) {
  const handlers = new Set<ChangeHandler<NetworkInterface>>();
  const onChange = (handler: ChangeHandler<NetworkInterface>) => {
    handlers.add(handler);
    return () => handlers.delete(handler);
  };
  return { handlers, interfaces: { values: () => known.values(), onChange } };
}

test("a pod's interface is found at once, or when it is made", async () => {
  const { signal } = new AbortController();
  assert.equal(await interfaceOf(startInterfaces([eni]).interfaces, "uid-1", signal), eni);
  const { interfaces, handlers } = startInterfaces();
  const found = interfaceOf(interfaces, "uid-1", signal);
  for (const handler of handlers) handler("shop/web", eni, undefined);
  assert.equal(await found, eni);
  assert.equal(handlers.size, 0);
});

test("nobody waits for an interface whose pod is gone, or went before", async () => {
  const { interfaces, handlers } = startInterfaces();
  const gone = new AbortController();
  const waiting = interfaceOf(interfaces, "uid-1", gone.signal);
  gone.abort(new Error("the pod is gone"));
  await assert.rejects(waiting, /the pod is gone/);
  await assert.rejects(interfaceOf(interfaces, "uid-1", gone.signal), /the pod is gone/);
  assert.equal(handlers.size, 0);
});
