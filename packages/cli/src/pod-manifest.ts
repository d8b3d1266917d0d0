import { randomBytes } from "node:crypto";
import { type Pod, vpcAnnotation } from "@isopod/api";
import { CliError } from "./cli-error.ts";

export interface RunOptions {
  readonly cpu?: string;
  readonly memory?: string;
  readonly name?: string;
  readonly env?: readonly string[];
  readonly label?: readonly string[];
  readonly restart?: string;
  readonly vpc?: string;
  readonly workdir?: string;
  readonly user?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly pull?: string;
}

const restartPolicies: Readonly<Record<string, "Always" | "OnFailure" | "Never">> = {
  no: "Never",
  never: "Never",
  always: "Always",
  "unless-stopped": "Always",
  "on-failure": "OnFailure",
};

const pullPolicies: Readonly<Record<string, "Always" | "IfNotPresent" | "Never">> = {
  always: "Always",
  missing: "IfNotPresent",
  never: "Never",
};

function choice<T>(table: Readonly<Record<string, T>>, flag: string, value: string): T {
  const found = table[value.toLowerCase()];
  if (found !== undefined) return found;
  throw new CliError(`${flag} ${value} is not known`, {
    code: "Usage",
    object: flag,
    remedy: `Choose one of: ${Object.keys(table).join(", ")}.`,
  });
}

function pairs(flag: string, entries: readonly string[]): readonly (readonly [string, string])[] {
  return entries.map((entry) => {
    const equals = entry.indexOf("=");
    if (equals > 0) return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
    // As Docker: a bare name hands on this shell's value.
    const value = process.env[entry];
    if (flag === "--env" && equals < 0 && entry !== "" && value !== undefined) return [entry, value] as const;
    throw new CliError(`${flag} ${entry} is not NAME=VALUE`, {
      code: "Usage",
      object: flag,
      remedy: `Write it as in ${flag} COLOR=green.`,
    });
  });
}

/** Kubernetes would expand `$(NAME)` and halve `$$`; what the user typed is meant as it is. */
function literal(text: string): string {
  return text.replace(/\$(?=[$(])/g, "$$$$");
}

/** A name as people would choose: the image's last word and five letters. */
function generatedName(image: string): string {
  const word = (image.split("/").at(-1) ?? "").split(/[:@]/)[0] ?? "";
  const base =
    word
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 40) || "run";
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return `${base}-${[...randomBytes(5)].map((byte) => alphabet[byte % alphabet.length]).join("")}`;
}

/** The Pod that `isopod run` creates: one container, the size as limits. Throws {@link CliError} `Usage`. */
export function podManifest(namespace: string, image: string, args: readonly string[], options: RunOptions): Pod {
  const name = options.name ?? generatedName(image);
  const env = pairs("--env", options.env ?? []).map(([variable, value]) => ({ name: variable, value: literal(value) }));
  const limits = {
    ...(options.cpu === undefined ? {} : { cpu: options.cpu }),
    ...(options.memory === undefined ? {} : { memory: options.memory }),
  };
  const user = options.user === undefined ? undefined : /^(\d+)(?::(\d+))?$/.exec(options.user);
  if (user === null) {
    throw new CliError(`--user ${options.user} is not a number`, {
      code: "Usage",
      object: "--user",
      remedy: "Give UID or UID:GID in numbers; a name is looked up only when the image itself sets it.",
    });
  }
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: { run: name, ...Object.fromEntries(pairs("--label", options.label ?? [])) },
      ...(options.vpc === undefined ? {} : { annotations: { [vpcAnnotation]: options.vpc } }),
    },
    spec: {
      restartPolicy: choice(restartPolicies, "--restart", options.restart ?? "no"),
      containers: [
        {
          name: "main",
          image,
          ...(args.length === 0 ? {} : { args: args.map(literal) }),
          ...(env.length === 0 ? {} : { env }),
          ...(options.workdir === undefined ? {} : { workingDir: options.workdir }),
          ...(options.pull === undefined ? {} : { imagePullPolicy: choice(pullPolicies, "--pull", options.pull) }),
          ...(Object.keys(limits).length === 0 ? {} : { resources: { limits } }),
          ...(options.interactive === true ? { stdin: true, stdinOnce: true } : {}),
          ...(options.tty === true ? { tty: true } : {}),
          ...(user === undefined
            ? {}
            : {
                securityContext: {
                  runAsUser: Number(user[1]),
                  ...(user[2] === undefined ? {} : { runAsGroup: Number(user[2]) }),
                },
              }),
        },
      ],
    },
  };
}
