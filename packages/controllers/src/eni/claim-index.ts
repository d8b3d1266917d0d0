import type { AddressClaim } from "@isopod/api";

/** `namespace/name` of the pod a claim is for. */
export function podKeyOf({ spec }: AddressClaim): string {
  return `${spec.interface.namespace}/${spec.interface.name}`;
}

/** Claims by the pod they are for. Told of what the watch shows, and before that of what this process made itself. */
export class ClaimIndex {
  readonly #byPod = new Map<string, Map<string, AddressClaim>>();

  set(claim: AddressClaim): void {
    const key = podKeyOf(claim);
    const known = this.#byPod.get(key) ?? new Map<string, AddressClaim>();
    known.set(claim.metadata.name, claim);
    this.#byPod.set(key, known);
  }

  remove(claim: AddressClaim): void {
    const key = podKeyOf(claim);
    const known = this.#byPod.get(key);
    // A newer claim of the same address stays.
    if (known?.get(claim.metadata.name)?.metadata.uid !== claim.metadata.uid) return;
    known?.delete(claim.metadata.name);
    if (known?.size === 0) this.#byPod.delete(key);
  }

  of(podKey: string): readonly AddressClaim[] {
    return [...(this.#byPod.get(podKey)?.values() ?? [])];
  }
}
