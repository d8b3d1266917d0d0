/** Bounds of kube-apiserver: a header line must not grow with the body that caused it. */
const maxWarnings = 50;
const maxWarningCharacters = 256;

/** Gathers what the answer's Warning headers tell the user. */
export class Warnings {
  readonly #texts = new Set<string>();

  add(text: string): void {
    if (this.#texts.size < maxWarnings) this.#texts.add(text.slice(0, maxWarningCharacters));
  }

  /** Header values after RFC 7234: `299 - "text"`. */
  headerValues(): readonly string[] {
    return [...this.#texts].map((text) => `299 - "${escape(text)}"`);
  }
}

function escape(text: string): string {
  // Header values are visible ASCII; kubectl unquotes \" and \\.
  return text.replace(/[\\"]/g, "\\$&").replace(/[^\x20-\x7e]/g, "?");
}
