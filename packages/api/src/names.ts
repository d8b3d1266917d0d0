/** The alphabets and lengths Kubernetes gives names; each `…Problems` returns kube-apiserver's sentences, none when good. */

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const qualifiedPart = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const labelPattern = new RegExp(`^${label}$`);
const subdomainPattern = new RegExp(`^${subdomain}$`);
const qualifiedPartPattern = new RegExp(`^${qualifiedPart}$`);
const labelValuePattern = new RegExp(`^(${qualifiedPart})?$`);
const envNamePattern = /^[ -<>-~]+$/;
const configKeyPattern = /^[-._a-zA-Z0-9]+$/;

const labelSentence =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const subdomainSentence =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const qualifiedSentence =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const labelValueSentence =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

export function isDns1123Label(text: string): boolean {
  return text.length <= 63 && labelPattern.test(text);
}

export function isDns1123Subdomain(text: string): boolean {
  return text.length <= 253 && subdomainPattern.test(text);
}

export function dns1123LabelProblems(text: string): readonly string[] {
  if (isDns1123Label(text)) return [];
  const problems: string[] = [];
  if (text.length > 63) problems.push(tooLong(63));
  if (!labelPattern.test(text)) {
    problems.push(
      subdomainPattern.test(text) ? "must not contain dots" : withPattern(labelSentence, label, "my-name", "123-abc"),
    );
  }
  return problems;
}

export function dns1123SubdomainProblems(text: string): readonly string[] {
  if (isDns1123Subdomain(text)) return [];
  const problems: string[] = [];
  if (text.length > 253) problems.push(tooLong(253));
  if (!subdomainPattern.test(text)) problems.push(withPattern(subdomainSentence, subdomain, "example.com"));
  return problems;
}

/** Label keys, annotation keys, finalizers, resource names: `[prefix/]name`. */
export function qualifiedNameProblems(text: string): readonly string[] {
  const pattern = withPattern(qualifiedSentence, qualifiedPart, "MyName", "my.name", "123-abc");
  const parts = text.split("/");
  if (parts.length > 2) {
    return [`a valid label key ${pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const problems: string[] = [];
  const name = parts.at(-1) ?? "";
  const prefix = parts.length === 2 ? (parts[0] ?? "") : undefined;
  if (prefix === "") problems.push("prefix part must be non-empty");
  else if (prefix !== undefined)
    problems.push(...dns1123SubdomainProblems(prefix).map((text) => `prefix part ${text}`));
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push(`name part ${tooLong(63)}`);
  if (!qualifiedPartPattern.test(name)) problems.push(`name part ${pattern}`);
  return problems;
}

export function labelValueProblems(text: string): readonly string[] {
  const problems: string[] = [];
  if (text.length > 63) problems.push(tooLong(63));
  if (!labelValuePattern.test(text)) {
    problems.push(withPattern(labelValueSentence, `(${qualifiedPart})?`, "MyValue", "my_value", "12345"));
  }
  return problems;
}

/** Since 1.32: any printable ASCII except `=`. */
export function envVarNameProblems(text: string): readonly string[] {
  if (envNamePattern.test(text)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Keys of ConfigMaps and Secrets: they become file names. */
export function configKeyProblems(text: string): readonly string[] {
  const problems: string[] = [];
  if (text.length > 253) problems.push(tooLong(253));
  if (!configKeyPattern.test(text)) {
    problems.push(
      withPattern(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        "[-._a-zA-Z0-9]+",
        "key.name",
        "KEY_NAME",
        "key-name",
      ),
    );
  } else if (text === ".") problems.push("must not be '.'");
  else if (text === "..") problems.push("must not be '..'");
  else if (text.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

/** No vowels and no look-alikes, as Kubernetes has it. */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";
const suffixLength = 5;
const maxBaseLength = 63 - suffixLength;

/** `base` (cut to 58 characters) and five random ones. `random` returns [0, 1), like `Math.random`. */
export function generateName(base: string, random: () => number): string {
  let name = base.slice(0, maxBaseLength);
  for (let i = 0; i < suffixLength; i++) {
    name += suffixAlphabet.charAt(Math.floor(random() * suffixAlphabet.length));
  }
  return name;
}

/** `<vpc>.<a-b-c-d>`: one name, hence one holder, per address of a VPC. */
export function addressClaimName(vpc: string, address: string): string {
  return `${vpc}.${address.replaceAll(".", "-")}`;
}

function tooLong(limit: number): string {
  return `must be no more than ${limit} bytes`;
}

function withPattern(sentence: string, pattern: string, ...examples: readonly string[]): string {
  // Two blanks before "or": so does kube-apiserver, and scripts compare.
  const list = examples.map((example) => `'${example}', `).join(" or ");
  return `${sentence} (e.g. ${list}regex used for validation is '${pattern}')`;
}
