import { defaultVpcName, isAlreadyExists, isopodApiVersion, type PriceList, resources, type VPC } from "@isopod/api";
import { describeError, retry } from "@isopod/base";
import type { Controller, ControllerOptions } from "../controller.ts";

const vpc: VPC = {
  apiVersion: isopodApiVersion,
  kind: "VPC",
  metadata: { name: defaultVpcName },
  spec: { cidr: "10.64.0.0/16", nat: false },
};

/** About the published price of Fargate in US dollars: 0.04048 an hour per vCPU, 0.004445 per GiB. */
const prices: PriceList = {
  apiVersion: isopodApiVersion,
  kind: "PriceList",
  metadata: { name: "default" },
  spec: { currency: "USD", effectiveFrom: "2020-01-01T00:00:00Z", vcpuSecondMicros: 11, gibSecondMicros: 1 },
};

/** Makes, once, what a new installation needs: a VPC and a price list. What an operator changed or made stays. */
export class DefaultObjects implements Controller {
  readonly name = "default-objects";
  readonly #options: ControllerOptions;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { client, clock, logger } = this.#options;
    const ensure = async (create: Promise<unknown>): Promise<void> => {
      await create.catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
      });
    };
    await retry(
      async (attempt) => {
        try {
          await ensure(client.create(resources.vpcs, vpc, { signal }));
          await ensure(client.create(resources.pricelists, prices, { signal }));
        } catch (error) {
          if (attempt >= 3 && !signal.aborted) {
            logger.warn({ reason: describeError(error) }, "default objects cannot be made; trying again");
          }
          throw error;
        }
      },
      { clock, signal, initialMs: 100, maxMs: 5000 },
    ).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}
