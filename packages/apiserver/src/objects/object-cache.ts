import type { KubeObject } from "@isopod/api";
import type { StoredValue } from "@isopod/store";
import { decodeObject } from "./object-json.ts";

/**
 * Decoded versions, the most lately used ones, by revision: a revision is one version of one object for ever, so that
 * nothing here ever goes stale. Selectors of a thousand watchers decode each version once.
 * Objects handed out are shared: nobody may write into them.
 */
export class ObjectCache {
  readonly #maxBytes: number;
  readonly #objects = new Map<number, { readonly object: KubeObject; readonly sizeBytes: number }>();
  #sizeBytes = 0;

  /** `maxBytes` counts JSON; decoded objects take about three times as much. */
  constructor(maxBytes = 16 * 1024 * 1024) {
    this.#maxBytes = maxBytes;
  }

  decode(stored: StoredValue): KubeObject {
    const revision = stored.modRevision;
    const found = this.#objects.get(revision);
    if (found !== undefined) {
      // To the end of the map's order: the front is what goes first.
      this.#objects.delete(revision);
      this.#objects.set(revision, found);
      return found.object;
    }
    const object = decodeObject(stored.value, revision);
    this.#add(revision, object, stored.value.length);
    return object;
  }

  #add(revision: number, object: KubeObject, sizeBytes: number): void {
    this.#objects.set(revision, { object, sizeBytes });
    this.#sizeBytes += sizeBytes;
    for (const [oldest, entry] of this.#objects) {
      if (this.#sizeBytes <= this.#maxBytes) return;
      this.#objects.delete(oldest);
      this.#sizeBytes -= entry.sizeBytes;
    }
  }
}
