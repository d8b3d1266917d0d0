import {
  parseQuantity,
  parseQuantityValue,
  type Quantity,
  QuantityError,
  quantityToBytes,
  quantityToMilli,
} from "./quantity.ts";
import type { Container } from "./types/container.ts";
import type { PodSpec } from "./types/pod.ts";
import type { StatusCause } from "./types/status.ts";

/** What an instance may use and what is billed. */
export interface InstanceSize {
  readonly cpuMilli: number;
  readonly memoryMiB: number;
}

const gib = 1024;

/** Smallest and largest memory of each vCPU count; between them steps of 1 GiB up to 8 GiB, then of 4 GiB. */
const rows: readonly { readonly cpuMilli: number; readonly memoryMiB: readonly number[] }[] = [
  { cpuMilli: 100, memoryMiB: [128, 256, 512] },
  { cpuMilli: 250, memoryMiB: [256, 512, gib, 2 * gib] },
  { cpuMilli: 500, memoryMiB: [512, ...memorySteps(1, 4)] },
  { cpuMilli: 1000, memoryMiB: memorySteps(1, 8) },
  { cpuMilli: 2000, memoryMiB: memorySteps(2, 16) },
  { cpuMilli: 4000, memoryMiB: memorySteps(4, 32) },
  { cpuMilli: 8000, memoryMiB: memorySteps(8, 64) },
  { cpuMilli: 16_000, memoryMiB: memorySteps(16, 128) },
];

/** Every size sold, by vCPU and then by memory. */
export const catalogue: readonly InstanceSize[] = Object.freeze(
  rows.flatMap(({ cpuMilli, memoryMiB }) => memoryMiB.map((memoryMiB) => Object.freeze({ cpuMilli, memoryMiB }))),
);

export const defaultSize: InstanceSize = Object.freeze({ cpuMilli: 250, memoryMiB: 512 });
export const largestSize: InstanceSize = Object.freeze({ cpuMilli: 16_000, memoryMiB: 128 * gib });

export interface PodSizing {
  readonly requested: InstanceSize;
  /** The smallest size that holds the request; the largest one when `causes` say that the pod is beyond it. */
  readonly size: InstanceSize;
  /** The size is not what was asked for: the caller is told, with `message`. */
  readonly isRounded: boolean;
  readonly message: string;
  /** Why the pod cannot be sized (beyond the largest, or not quantities), for `invalid`. Empty for all others. */
  readonly causes: readonly StatusCause[];
}

/**
 * The catalogue size of a pod: the larger of its init containers' maximum and the sum of its app and sidecar containers.
 *
 * Each container counts with its limit, else its request. A resource that no container names gets the default. Rounded
 * up to the fewest vCPUs whose row holds the memory, then to the least memory there.
 */
export function sizePod(spec: PodSpec): PodSizing {
  const causes: StatusCause[] = [];
  const requested = {
    cpuMilli: totalOf(spec, "cpu", quantityToMilli, causes) ?? defaultSize.cpuMilli,
    memoryMiB: totalOf(spec, "memory", quantityToMiB, causes) ?? defaultSize.memoryMiB,
  };
  const size = roundUpSize(requested);
  if (size === undefined) {
    const message = `the pod asks for ${describeSize(requested)} in all, and the largest instance size is ${describeSize(largestSize)}`;
    causes.push({ reason: "FieldValueInvalid", message: `Invalid value: ${message}`, field: "spec.containers" });
    return { requested, size: largestSize, isRounded: false, message, causes };
  }
  const isRounded = size.cpuMilli !== requested.cpuMilli || size.memoryMiB !== requested.memoryMiB;
  const message = isRounded
    ? `instance size rounded up from ${describeSize(requested)} to ${describeSize(size)}, which is what is billed`
    : `instance size is ${describeSize(size)}`;
  return { requested, size, isRounded, message, causes };
}

/** The smallest size that holds the request; undefined beyond the largest. */
export function roundUpSize(requested: InstanceSize): InstanceSize | undefined {
  return catalogue.find((size) => size.cpuMilli >= requested.cpuMilli && size.memoryMiB >= requested.memoryMiB);
}

/** Whole virtual CPUs of the VM; fractions are a quota on one. */
export function vcpusFor(size: InstanceSize): number {
  return Math.max(1, Math.ceil(size.cpuMilli / 1000));
}

/** What a guest's kernel and agent need beside the size sold: 40 MiB measured with room, and page structures by size. */
export function guestOverheadMiB(size: InstanceSize): number {
  return 40 + Math.ceil(size.memoryMiB / 32);
}

/**
 * What a VM costs its node beyond the size sold, once the guest has touched all of its memory: the guest's own part, 40
 * MiB of QEMU and its translation cache, 64 MiB at most. CPU is overcommitted, so none is set aside.
 */
export function vmOverhead(size: InstanceSize): InstanceSize {
  return { cpuMilli: 0, memoryMiB: guestOverheadMiB(size) + 40 + 64 };
}

/** `0.25 vCPU, 512 MiB`. */
export function describeSize(size: InstanceSize): string {
  const memory = size.memoryMiB % gib === 0 ? `${size.memoryMiB / gib} GiB` : `${size.memoryMiB} MiB`;
  return `${size.cpuMilli / 1000} vCPU, ${memory}`;
}

/** A size in one word, as commands name it: `0.25x512Mi`, `1x2Gi`. */
export function formatSizeWord({ cpuMilli, memoryMiB }: InstanceSize): string {
  return `${cpuMilli / 1000}x${memoryMiB % gib === 0 ? `${memoryMiB / gib}Gi` : `${memoryMiB}Mi`}`;
}

/** Reads {@link formatSizeWord}'s words, with any quantities: `250m x 0.5Gi` without the blanks. Throws {@link QuantityError}. */
export function parseSizeWord(word: string): InstanceSize {
  const [cpu = "", memory = "", ...rest] = word.split("x");
  if (cpu === "" || memory === "" || rest.length > 0) {
    throw new QuantityError(`${word} is not a size, as in 0.25x512Mi`, { code: "InvalidQuantity", object: word });
  }
  return { cpuMilli: quantityToMilli(parseQuantity(cpu)), memoryMiB: quantityToMiB(parseQuantity(memory)) };
}

/** Sidecars run beside the init containers that follow them, and beside the app. */
function totalOf(
  spec: PodSpec,
  resource: "cpu" | "memory",
  convert: (quantity: Quantity) => number,
  causes: StatusCause[],
): number | undefined {
  let isNamed = false;
  const amountOf = (container: Container, path: string): number => {
    const limit = container.resources?.limits?.[resource];
    const value = limit ?? container.resources?.requests?.[resource];
    if (value === undefined) return 0;
    isNamed = true;
    const field = `${path}.resources.${limit === undefined ? "requests" : "limits"}.${resource}`;
    return convertOr(value, convert, field, causes);
  };

  let sidecars = 0;
  let initMaximum = 0;
  (spec.initContainers ?? []).forEach((container, index) => {
    const amount = amountOf(container, `spec.initContainers[${index}]`);
    if (container.restartPolicy === "Always") sidecars += amount;
    initMaximum = Math.max(initMaximum, container.restartPolicy === "Always" ? sidecars : sidecars + amount);
  });
  let sum = sidecars;
  spec.containers.forEach((container, index) => {
    sum += amountOf(container, `spec.containers[${index}]`);
  });
  return isNamed ? Math.max(sum, initMaximum) : undefined;
}

function convertOr(
  value: unknown,
  convert: (quantity: Quantity) => number,
  field: string,
  causes: StatusCause[],
): number {
  try {
    const quantity = parseQuantityValue(value);
    if (quantity.nano >= 0n) return convert(quantity);
    const message = `Invalid value: ${JSON.stringify(value)}: must be greater than or equal to 0`;
    causes.push({ reason: "FieldValueInvalid", message, field });
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    causes.push({
      reason: "FieldValueInvalid",
      message: `Invalid value: ${JSON.stringify(value)}: ${error.message}`,
      field,
    });
  }
  return 0;
}

function quantityToMiB(quantity: Quantity): number {
  return Math.ceil(quantityToBytes(quantity) / 1_048_576);
}

function memorySteps(fromGiB: number, toGiB: number): readonly number[] {
  const steps: number[] = [];
  for (let step = fromGiB; step <= toGiB; step += step < 8 ? 1 : 4) steps.push(step * gib);
  return steps;
}
