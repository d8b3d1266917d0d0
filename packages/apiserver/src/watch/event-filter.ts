import type { KubeObject } from "@isopod/api";
import type { StoredValue, StoreEvent } from "@isopod/store";

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED";

/** What a watcher is told of a store event, and which version of the object it is shown. */
export interface FilteredEvent {
  readonly type: WatchEventType;
  readonly stored: StoredValue;
}

/**
 * An object that begins to match is added for this watcher; one that ceases to is deleted, shown as it last was.
 * Undefined: the event is none of its business.
 */
export function filterEvent(
  event: StoreEvent,
  matches: ((object: KubeObject) => boolean) | undefined,
  decode: (stored: StoredValue) => KubeObject,
): FilteredEvent | undefined {
  const { previous, current } = event;
  const isSelected = (stored: StoredValue) => matches === undefined || matches(decode(stored));
  const wasSelected = previous !== undefined && isSelected(previous);
  if (event.type === "delete") return wasSelected ? { type: "DELETED", stored: current } : undefined;
  if (isSelected(current)) return { type: wasSelected ? "MODIFIED" : "ADDED", stored: current };
  return wasSelected ? { type: "DELETED", stored: previous } : undefined;
}
