/**
 * A part of this package that is loaded with the first call. A program that only calls the API, as every command of
 * `isopod` does, never needs what a server needs, and loading all of it took a fifth of its start.
 *
 * `load` is a `require`, because what waits for it is not asynchronous.
 */
export function onDemand<Part>(load: () => Part): () => Part {
  let part: Part | undefined;
  return () => (part ??= load());
}
