/** Waits for all of it, whatever fails. Then resolves with the results, or rejects as the first that failed. */
export async function settleAll<const Work extends readonly unknown[]>(
  work: Work,
): Promise<{ -readonly [Index in keyof Work]: Awaited<Work[Index]> }> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

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
  const results = settleAll(all);
  await results.catch(() => {});
  // The failure that came first, and not what it made of the others.
  failed.signal.throwIfAborted();
  return await results;
}
