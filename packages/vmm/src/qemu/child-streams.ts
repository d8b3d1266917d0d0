import type { ChildProcess } from "node:child_process";

/**
 * The streams of a child's descriptors, by number. Undefined, whatever Node's type says, when this process had no
 * descriptors left for pipes: the child's `error` event tells of it.
 */
export function streamsOf(child: ChildProcess): readonly unknown[] | undefined {
  return child.stdio;
}
