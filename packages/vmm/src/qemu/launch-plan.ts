/** What the launcher is to do; each field is documented in `launcher/src/plan.rs`, which reads it. */
export type LaunchPlan = MonitorPlan | ClonePlan;

/** A jail to be built, and the monitor to run in it. */
export interface MonitorPlan {
  readonly type: "monitor";
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Absent: a zygote, which is cloned to become others. */
  readonly userId: number | undefined;
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  readonly descriptorsAt?: string;
  readonly fileBytes?: number;
  readonly hasKvm: boolean;
  readonly cgroups: readonly string[];
  readonly stderrBytes: number;
  readonly outOfMemoryScore: number;
  readonly descriptors: readonly LaunchDescriptor[];
}

/** A clone of the zygote that takes requests at a path, with `descriptors` in the place of the zygote's. */
export interface ClonePlan {
  readonly type: "clone";
  readonly zygote: string;
  /** What lists of processes show for the monitor's name. */
  readonly name: string;
  readonly userId: number;
  readonly fileBytes: number;
  readonly stderrBytes: number;
  readonly descriptors: readonly LaunchDescriptor[];
  /** What becomes of the zygote's other descriptors; those that are not named stay. */
  readonly changes: readonly DescriptorChange[];
}

export type DescriptorChange = { readonly number: number } & (
  | { readonly type: "new-event" | "new-poll" }
  /** Of the first 32 signals those whose bit is set. */
  | { readonly type: "new-signals"; readonly mask: number }
  /** Becomes the same as another one, which is given. */
  | { readonly type: "copy"; readonly of: number }
);

/** Something opened outside the jail that the monitor finds under `number`. */
export type LaunchDescriptor = { readonly number: number } & (
  | { readonly type: "file"; readonly path: string; readonly isWritable: boolean }
  | { readonly type: "bytes"; readonly content: string }
  | { readonly type: "listen"; readonly path: string }
  | { readonly type: "tap"; readonly namespacePath: string; readonly name: string }
  | { readonly type: "placeholder-tap" }
  /** Libraries that {@link MonitorPlan.environment} has preloaded. */
  | { readonly type: "template-memory" | "zygote-library" }
  /** Where a zygote takes requests. */
  | { readonly type: "requests"; readonly path: string }
  /** The list of its own threads. */
  | { readonly type: "threads" }
);

/** The plan as NUL-terminated fields. Throws `RangeError` when a value contains NUL, which no path or argument can. */
export function encodeLaunchPlan(plan: LaunchPlan): string {
  const own = plan.type === "monitor" ? monitorFields(plan) : cloneFields(plan);
  const fields = [
    ...own,
    ...(plan.fileBytes === undefined ? [] : [["file-bytes", String(plan.fileBytes)]]),
    ["stderr-bytes", String(plan.stderrBytes)],
    ...plan.descriptors.map(descriptorFields),
    ["end"],
  ].flat();
  const withNul = fields.find((field) => field.includes("\0"));
  if (withNul !== undefined) throw new RangeError(`${JSON.stringify(withNul)} contains a NUL character`);
  return fields.map((field) => `${field}\0`).join("");
}

function cloneFields(plan: ClonePlan): readonly (readonly string[])[] {
  return [
    ["clone-of", plan.zygote],
    ["name", plan.name],
    ["user", String(plan.userId)],
    ...plan.changes.map((change) => [
      change.type,
      String(change.number),
      ...(change.type === "copy" ? [String(change.of)] : []),
      ...(change.type === "new-signals" ? [String(change.mask)] : []),
    ]),
  ];
}

function monitorFields(plan: MonitorPlan): readonly (readonly string[])[] {
  return [
    ["program", plan.program],
    ...plan.arguments.map((argument) => ["argument", argument]),
    ...Object.entries(plan.environment).map(([name, value]) => ["environment", name, value]),
    plan.userId === undefined ? ["zygote"] : ["user", String(plan.userId)],
    ...plan.binds.map((bind) => ["bind", bind.source, bind.target]),
    ...(plan.descriptorsAt === undefined ? [] : [["descriptors-at", plan.descriptorsAt]]),
    ...(plan.hasKvm ? [["kvm"]] : []),
    ...plan.cgroups.map((directory) => ["cgroup", directory]),
    ["oom-score", String(plan.outOfMemoryScore)],
  ];
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
    case "requests":
      return ["requests", number, descriptor.path];
    case "template-memory":
    case "zygote-library":
    case "threads":
      return [descriptor.type, number];
  }
}
