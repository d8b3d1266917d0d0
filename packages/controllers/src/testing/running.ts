import { silentLogger, systemClock } from "@isopod/base";
import type { Controller, ControllerOptions } from "../controller.ts";
import type { TestApi } from "@isopod/client/testing";

/** Runs a controller against the test's API until it is disposed. */
export function running(
  api: Pick<TestApi, "client">,
  make: (options: ControllerOptions) => Controller,
  overrides: Partial<ControllerOptions> = {},
): AsyncDisposable {
  const stop = new AbortController();
  const options = { client: api.client, clock: systemClock, logger: silentLogger, ...overrides };
  const ended = make(options).run(stop.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the test ends"));
      await ended;
    },
  };
}
