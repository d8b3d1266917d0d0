const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** An amount of bytes with two digits where they matter: `10 B`, `1.5 GiB`, `17 MiB`. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
