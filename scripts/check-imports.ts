/**
 * Holds the arrows of docs/architecture.md: which package may import which.
 * Prints every import that is not an arrow, or that reaches past a package's `src/index.ts`, and exits 1.
 */
import { glob, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";

/** Arrows as in docs/architecture.md; they are transitive. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  base: [],
  api: ["base"],
  store: ["base"],
  apiserver: ["api", "store"],
  client: ["api"],
  controllers: ["client"],
  scheduler: ["client"],
  guest: ["base"],
  vmm: ["base", "guest"],
  image: ["base"],
  network: ["base"],
  volume: ["base"],
  node: ["client", "vmm", "image", "network", "volume"],
  meter: ["client", "store"],
  cli: ["client", "service"],
  // The composition root of `isopod up`: the only package that sees both sides of the API.
  service: ["apiserver", "controllers", "scheduler", "node", "meter"],
};

function reachable(name: string, seen = new Set<string>()): Set<string> {
  for (const next of arrows[name] ?? []) {
    if (seen.has(next)) continue;
    seen.add(next);
    reachable(next, seen);
  }
  return seen;
}

/** Tests put real neighbours together, as the composition root does. */
const isTest = (file: string): boolean => file.endsWith(".test.ts") || file.includes("/testing/");

const root = resolve(import.meta.dirname, "..");
const specifier = /(?:^|\n)\s*(?:import|export)\b[^"';]*?from\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g;
const problems: string[] = [];

for await (const file of glob("packages/*/{src,scripts}/**/*.ts", { cwd: root })) {
  const own = file.split("/")[1] ?? "";
  if (arrows[own] === undefined) problems.push(`${file}: package ${own} has no line in scripts/check-imports.ts`);
  const allowed = reachable(own);
  const text = await readFile(join(root, file), "utf8");
  for (const match of text.matchAll(specifier)) {
    const target = match[1] ?? match[2] ?? "";
    if (target.startsWith(".")) {
      const path = relative(root, resolve(root, dirname(file), target));
      if (!path.startsWith(`packages/${own}/`)) problems.push(`${file}: imports ${target}, a file of another package`);
      continue;
    }
    const other = /^@isopod\/([^/]+)(\/.*)?$/.exec(target);
    if (other === null) continue;
    if (other[2] !== undefined && !isTest(file))
      problems.push(`${file}: imports ${target}; only ${other[1]}'s index is public`);
    else if (other[1] !== own && !allowed.has(other[1] ?? "") && !isTest(file))
      problems.push(`${file}: ${own} may not import ${other[1]}`);
  }
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("imports follow the arrows");
