import {
  type AgentInfo,
  type ContainerStarted,
  type ContainerState,
  type ExitStatus,
  type GuestConfigured,
  type GuestStats,
  type OutputMark,
} from "./contract.ts";
import { GuestError, isAgentFailureCode } from "./guest-error.ts";

/** Readers of what the agent answers. The agent is untrusted: each throws `BadAnswer` for anything else. */
type Json = Readonly<Record<string, unknown>>;

const maxListLength = 4096;
const maxTextLength = 4096;

function bad(what: string): GuestError {
  return new GuestError(`the agent's answer breaks the contract: ${what}`, {
    code: "BadAnswer",
    remedy: "The guest's kernel and agent may be of another version than the host; recreate the instance.",
  });
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
}

/** What the agent refused, from the JSON of its `AgentFailure`. */
export function readFailure(text: string): GuestError {
  const answer = readObject(parseJson(text), "the refusal");
  const code = readText(answer, "code");
  const message = readText(answer, "message", 8192);
  if (!isAgentFailureCode(code)) return new GuestError(`the agent refused: ${message}`, { code: "BadAnswer" });
  return new GuestError(message, { code });
}

export function readObject(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(`${what} is not an object`);
  return Object.fromEntries(Object.entries(value));
}

function readList(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > maxListLength) throw bad(`${what} is not a list of bounded length`);
  return value;
}

export function readText(object: Json, key: string, maxLength = maxTextLength): string {
  const value = object[key];
  if (typeof value !== "string" || value.length > maxLength) throw bad(`${key} is not a text of bounded length`);
  return value;
}

function readNumber(object: Json, key: string, max: number = Number.MAX_SAFE_INTEGER): number {
  const value = object[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw bad(`${key} is not a whole number from 0 to ${max}`);
  }
  return value;
}

function readBoolean(object: Json, key: string): boolean {
  const value = object[key];
  if (typeof value !== "boolean") throw bad(`${key} is not a boolean`);
  return value;
}

export function readInfo(value: unknown): AgentInfo {
  const object = readObject(value, "the agent's information");
  return {
    version: readText(object, "version"),
    startedMicros: readNumber(object, "startedMicros"),
    readyMicros: readNumber(object, "readyMicros"),
    kernelRelease: readText(object, "kernelRelease"),
    vcpus: readNumber(object, "vcpus"),
    memoryBytes: readNumber(object, "memoryBytes"),
    isConfigured: readBoolean(object, "isConfigured"),
  };
}

function readStages(object: Json): Readonly<Record<string, number>> {
  const stages = readObject(object["stageMicros"], "stageMicros");
  const names = Object.keys(stages);
  if (names.length > 32) throw bad("there are too many stages");
  return Object.fromEntries(names.map((name) => [name, readNumber(stages, name)]));
}

export function readConfigured(value: unknown): GuestConfigured {
  return { stageMicros: readStages(readObject(value, "the answer to configure")) };
}

export function readStarted(value: unknown): ContainerStarted {
  const object = readObject(value, "the started container");
  return {
    id: readText(object, "id"),
    startedMicros: readNumber(object, "startedMicros"),
    stageMicros: readStages(object),
  };
}

export function readExit(value: unknown): ExitStatus {
  const object = readObject(value, "the exit status");
  return {
    exitCode: readNumber(object, "exitCode", 255),
    signal: readNumber(object, "signal", 64),
    isOomKilled: readBoolean(object, "isOomKilled"),
    startedMicros: readNumber(object, "startedMicros"),
    finishedMicros: readNumber(object, "finishedMicros"),
    terminationMessage: readText(object, "terminationMessage"),
  };
}

export function readState(value: unknown): ContainerState {
  const object = readObject(value, "the container's state");
  const phase = readText(object, "phase");
  if (phase !== "running" && phase !== "exited") throw bad(`phase is ${JSON.stringify(phase)}`);
  return {
    id: readText(object, "id"),
    phase,
    startedMicros: readNumber(object, "startedMicros"),
    outputBytes: readNumber(object, "outputBytes"),
    ...(phase === "exited" ? { exit: readExit(object["exit"]) } : {}),
  };
}

export function readStates(value: unknown): readonly ContainerState[] {
  return readList(value, "the list of containers").map(readState);
}

export function readMark(value: unknown): OutputMark {
  const object = readObject(value, "the output mark");
  return {
    epochMicros: readNumber(object, "epochMicros"),
    nextOffset: readNumber(object, "nextOffset"),
    droppedBytes: readNumber(object, "droppedBytes"),
  };
}

export function readStats(value: unknown): GuestStats {
  const object = readObject(value, "the statistics");
  return {
    containers: readList(object["containers"], "containers").map((entry) => {
      const container = readObject(entry, "a container's statistics");
      return {
        id: readText(container, "id"),
        cpuMicros: readNumber(container, "cpuMicros"),
        memoryBytes: readNumber(container, "memoryBytes"),
        memoryPeakBytes: readNumber(container, "memoryPeakBytes"),
        pids: readNumber(container, "pids"),
        oomKills: readNumber(container, "oomKills"),
      };
    }),
    scratchTotalBytes: readNumber(object, "scratchTotalBytes"),
    scratchFreeBytes: readNumber(object, "scratchFreeBytes"),
  };
}

export function readNothing(value: unknown): void {
  readObject(value, "the answer");
}
