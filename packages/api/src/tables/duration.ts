/**
 * Elapsed time as kubectl users know it: two units where they matter, one where they do not (`47s`, `5m12s`, `3h20m`,
 * `2d4h`, `340d`). Follows k8s.io/apimachinery `duration.HumanDuration`.
 */
export function humanDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  // Clocks of two machines differ: a moment just ahead is now.
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return withRest(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return withRest(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return withRest(days, "d", hours % 24, "h");
  if (days < 2 * 365) return `${days}d`;
  const years = Math.trunc(days / 365);
  return years < 8 ? withRest(years, "y", days % 365, "d") : `${years}y`;
}

/** Time since an RFC 3339 moment; `<unknown>` when there is none. */
export function sinceText(time: string | null | undefined, nowMs: number): string {
  const thenMs = time === undefined || time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(thenMs) ? "<unknown>" : humanDuration(nowMs - thenMs);
}

function withRest(amount: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${amount}${unit}` : `${amount}${unit}${rest}${restUnit}`;
}
