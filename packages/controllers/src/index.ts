import type { Controller, ControllerOptions } from "./controller.ts";
import { DefaultObjects } from "./defaults/default-objects.ts";
import { EniController } from "./eni/eni-controller.ts";
import { GarbageCollector } from "./garbage/garbage-collector.ts";
import { NamespaceController } from "./namespace/namespace-controller.ts";
import { NodeLifecycleController } from "./node/node-lifecycle-controller.ts";

export type { Controller, ControllerOptions } from "./controller.ts";
export { DefaultObjects, EniController, GarbageCollector, NamespaceController, NodeLifecycleController };

/** Every controller of an installation. */
export function allControllers(options: ControllerOptions): readonly Controller[] {
  return [
    new DefaultObjects(options),
    new NamespaceController(options),
    new EniController(options),
    new GarbageCollector(options),
    new NodeLifecycleController(options),
  ];
}
