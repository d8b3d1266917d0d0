import type { PriceList } from "./types/isopod.ts";

/** Prices of one second, in millionths of the currency unit. */
export interface SecondPrices {
  readonly vcpuSecondMicros: number;
  readonly gibSecondMicros: number;
}

/**
 * What a list asks for paused time. The defaults are applied where the list is read and are not stored: the spec of a
 * list never changes, and lists made before there was a pause have neither field.
 */
export function pausedPrices(spec: PriceList["spec"]): SecondPrices {
  return {
    vcpuSecondMicros: spec.pausedVcpuSecondMicros ?? 0,
    gibSecondMicros: spec.pausedGibSecondMicros ?? spec.gibSecondMicros,
  };
}
