/** What the launcher builds and runs; each field is documented in `launcher/src/plan.rs`, which reads it. */
export interface LaunchPlan {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly userId: number;
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  readonly descriptorsAt?: string;
  readonly fileBytes?: number;
  readonly hasKvm: boolean;
  readonly cgroups: readonly string[];
  readonly stderrBytes: number;
  readonly outOfMemoryScore: number;
  readonly descriptors: readonly LaunchDescriptor[];
}

/** Something opened outside the jail that the monitor finds under `number`. */
export type LaunchDescriptor = { readonly number: number } & (
  | { readonly type: "file"; readonly path: string; readonly isWritable: boolean }
  | { readonly type: "bytes"; readonly content: string }
  | { readonly type: "listen"; readonly path: string }
  | { readonly type: "tap"; readonly namespacePath: string; readonly name: string }
  | { readonly type: "placeholder-tap" }
  /** The library that {@link LaunchPlan.environment} has preloaded. */
  | { readonly type: "template-memory" }
);

/** The plan as NUL-terminated fields. Throws `RangeError` when a value contains NUL, which no path or argument can. */
export function encodeLaunchPlan(plan: LaunchPlan): string {
  const fields = [
    ["program", plan.program],
    ...plan.arguments.map((argument) => ["argument", argument]),
    ...Object.entries(plan.environment).map(([name, value]) => ["environment", name, value]),
    ["user", String(plan.userId)],
    ...plan.binds.map((bind) => ["bind", bind.source, bind.target]),
    ...(plan.descriptorsAt === undefined ? [] : [["descriptors-at", plan.descriptorsAt]]),
    ...(plan.fileBytes === undefined ? [] : [["file-bytes", String(plan.fileBytes)]]),
    ...(plan.hasKvm ? [["kvm"]] : []),
    ...plan.cgroups.map((directory) => ["cgroup", directory]),
    ["stderr-bytes", String(plan.stderrBytes)],
    ["oom-score", String(plan.outOfMemoryScore)],
    ...plan.descriptors.map(descriptorFields),
    ["end"],
  ].flat();
  const withNul = fields.find((field) => field.includes("\0"));
  if (withNul !== undefined) throw new RangeError(`${JSON.stringify(withNul)} contains a NUL character`);
  return fields.map((field) => `${field}\0`).join("");
}

function descriptorFields(descriptor: LaunchDescriptor): readonly string[] {
  const number = String(descriptor.number);
  switch (descriptor.type) {
    case "file":
      return [descriptor.isWritable ? "file-write" : "file-read", number, descriptor.path];
    case "bytes":
      return ["bytes", number, descriptor.content];
    case "listen":
      return ["listen", number, descriptor.path];
    case "tap":
      return ["tap", number, descriptor.namespacePath, descriptor.name];
    case "placeholder-tap":
      return ["tap-placeholder", number];
    case "template-memory":
      return ["template-memory", number];
  }
}
