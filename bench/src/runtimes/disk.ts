import type { Instance } from "./contender.ts";

export interface DiskFigure {
  readonly what: string;
  readonly unit: string;
  readonly value: number;
  readonly note: string | undefined;
}

interface Job {
  readonly name: string;
  readonly what: string;
  readonly unit: "MiB/s" | "IOPS";
  readonly side: "read" | "write";
  readonly arguments: readonly string[];
}

const sequential = (side: "read" | "write"): Job => ({
  name: `sequential-${side}`,
  what: `sequential ${side}, 1 MiB`,
  unit: "MiB/s",
  side,
  arguments: [`--rw=${side}`, "--bs=1M", "--ioengine=psync"],
});
const random = (side: "read" | "write", depth: 1 | 16): Job => ({
  name: `random-${side}-${depth}`,
  what: `random ${side}, 4 KiB, queue depth ${depth}`,
  unit: "IOPS",
  side,
  arguments: [
    `--rw=rand${side}`,
    "--bs=4k",
    ...(depth === 1 ? ["--ioengine=psync"] : ["--ioengine=libaio", `--iodepth=${depth}`]),
  ],
});

const jobs: readonly Job[] = [
  sequential("write"),
  sequential("read"),
  random("read", 1),
  random("write", 1),
  random("read", 16),
  random("write", 16),
];

const file = "/var/tmp/fio.data";

/** One run of fio for all jobs, one after the other: loading it takes an emulated guest seconds. */
export function fioCommand(isDirect: boolean): readonly string[] {
  const common = [`--filename=${file}`, "--size=128M", "--time_based", "--runtime=3", `--direct=${isDirect ? 1 : 0}`];
  const each = jobs.flatMap((job) => [`--name=${job.name}`, "--stonewall", ...job.arguments]);
  return ["fio", "--output-format=json", "--thread", ...common, ...each];
}

/** Figures from fio's JSON, before which it may have written remarks. Throws for a job that failed. */
export function parseFio(output: string): readonly Omit<DiskFigure, "note">[] {
  const { jobs: done } = JSON.parse(output.slice(output.indexOf("{"))) as {
    readonly jobs: readonly ({ readonly jobname: string; readonly error: number } & Record<
      "read" | "write",
      { readonly bw_bytes: number; readonly iops: number }
    >)[];
  };
  return jobs.map(({ name, what, unit, side }) => {
    const one = done.find((job) => job.jobname === name);
    if (one === undefined || one.error !== 0) throw new Error(`fio ${name}: error ${one?.error ?? "unknown"}`);
    return { what, unit, value: unit === "IOPS" ? one[side].iops : one[side].bw_bytes / 1024 / 1024 };
  });
}

/** fio on the writable disk, past the page cache where the file system lets it. */
export async function measureDisk(instance: Instance, signal: AbortSignal): Promise<readonly DiskFigure[]> {
  const direct = await instance.exec(fioCommand(true), signal).catch((error: unknown) => {
    const text = error instanceof Error && "stdout" in error ? String(error.stdout) + error.message : String(error);
    if (/O_DIRECT|Invalid argument/i.test(text)) return undefined;
    throw error;
  });
  if (direct !== undefined) return parseFio(direct).map((one) => ({ ...one, note: undefined }));
  const buffered = await instance.exec(fioCommand(false), signal);
  return parseFio(buffered).map((one) => ({ ...one, note: "through the page cache" }));
}
