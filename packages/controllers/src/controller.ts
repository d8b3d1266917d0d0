import type { Clock, Logger } from "@isopod/base";
import type { KubeClient } from "@isopod/client";

/** What every controller is given. */
export interface ControllerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A loop that brings one kind of object to its desired state; `run` ends when its signal aborts. */
export interface Controller {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}
