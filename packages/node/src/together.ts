/**
 * Begins everything at once. When one fails the others are told to stop, and have stopped when this rejects with its
 * reason: whoever then cleans up does not race with them.
 */
export async function together<const Work extends readonly unknown[]>(
  signal: AbortSignal,
  begin: (signal: AbortSignal) => Work,
): Promise<{ -readonly [Index in keyof Work]: Awaited<Work[Index]> }> {
  const failed = new AbortController();
  const all = begin(AbortSignal.any([signal, failed.signal]));
  for (const one of all) Promise.resolve(one).catch((error: unknown) => failed.abort(error));
  await Promise.allSettled(all);
  failed.signal.throwIfAborted();
  return await Promise.all(all);
}
