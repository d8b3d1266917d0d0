/**
 * Holds what documents refer to: every relative link leads to a file and heading that exist, and every test that
 * docs/specification.md names is in the file it links.
 */
import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const problems: string[] = [];
const read = async (path: string): Promise<string | undefined> =>
  await readFile(join(root, path), "utf8").catch((error: NodeJS.ErrnoException) =>
    error.code === "EISDIR" ? "" : undefined,
  );
const anchorOf = (heading: string): string =>
  heading
    .replace(/^#+\s*/, "")
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

for await (const file of glob(["*.md", "docs/**/*.md", "packages/**/README.md"], {
  cwd: root,
  exclude: (name) => name.includes("node_modules"),
})) {
  const text = (await read(file)) ?? "";
  for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path = "", anchor] = target.split("#");
    const found = path === "" ? file : normalize(join(dirname(file), path));
    const content = await read(found);
    if (content === undefined) problems.push(`${file}: ${target} does not exist`);
    else if (
      anchor !== undefined &&
      !content.split("\n").some((line) => line.startsWith("#") && anchorOf(line) === anchor)
    )
      problems.push(`${file}: ${target} has no such heading`);
  }
}
const specification = (await read("docs/specification.md")) ?? "";
for (const [, path = "", name = ""] of specification.matchAll(/\]\(\.\.\/([^)]+)\): “(.+)” \|$/gm)) {
  const source = (await read(path)) ?? "";
  const wanted = name.replace("1.35, 1.32", "${version}");
  if (!source.includes(wanted) && !source.includes(wanted.replaceAll("'", "\\'")))
    problems.push(`docs/specification.md: ${path} has no test “${name}”`);
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("documents refer to what exists");
