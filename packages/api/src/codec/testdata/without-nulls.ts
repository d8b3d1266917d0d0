/** A JSON value without null members: Go's encoder writes null for empty lists and times, which means absence. */
export function withoutNulls(value: unknown): object {
  return stripped(value) as object;
}

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([key, member]) => [key, stripped(member)]),
  );
}
