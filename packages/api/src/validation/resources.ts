import { compareQuantity, parseQuantityValue, type Quantity, QuantityError } from "../quantity.ts";
import type { ResourceRequirements } from "../types/container.ts";
import type { StatusCause } from "../types/status.ts";
import { invalidValue, keyed, notSupported } from "./field-error.ts";

const supportedResources = ["cpu", "memory", "ephemeral-storage"];

export function validateResources(resources: ResourceRequirements, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  const limits = readList(resources.limits ?? {}, `${path}.limits`, causes);
  const requests = readList(resources.requests ?? {}, `${path}.requests`, causes);
  for (const [name, request] of requests) {
    const limit = limits.get(name);
    if (limit === undefined || compareQuantity(request, limit) <= 0) continue;
    const detail = `must be less than or equal to ${name} limit of ${resources.limits?.[name]}`;
    causes.push(invalidValue(`${path}.requests`, resources.requests?.[name], detail));
  }
  return causes;
}

/** The quantity, or the cause why it is none. */
export function readQuantity(value: unknown, field: string, causes: StatusCause[]): Quantity | undefined {
  try {
    const quantity = parseQuantityValue(value);
    if (quantity.nano >= 0n) return quantity;
    causes.push(invalidValue(field, value, "must be greater than or equal to 0"));
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    causes.push(invalidValue(field, value, error.message));
  }
  return undefined;
}

function readList(list: Readonly<Record<string, unknown>>, path: string, causes: StatusCause[]): Map<string, Quantity> {
  const quantities = new Map<string, Quantity>();
  for (const [name, value] of Object.entries(list)) {
    const field = keyed(path, name);
    // Devices and huge pages cannot be given to a VM yet: better refused than ignored.
    if (!supportedResources.includes(name)) causes.push(notSupported(field, name, supportedResources));
    const quantity = readQuantity(value, field, causes);
    if (quantity !== undefined) quantities.set(name, quantity);
  }
  return quantities;
}
