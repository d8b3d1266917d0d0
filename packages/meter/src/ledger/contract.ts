/** One closed usage segment. Times in microseconds since the epoch. */
export interface LedgerEntry {
  /** Name of the UsageSegment object with its namespace: an entry is written once. */
  readonly segment: string;
  readonly namespace: string;
  readonly podName: string;
  readonly podUID: string;
  readonly nodeName: string;
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly state: "Running" | "Paused";
  readonly startMicros: bigint;
  readonly endMicros: bigint;
  readonly endCause: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface LedgerQuery {
  readonly namespace?: string;
  /** Entries that end at this moment or later: one that began and ended in the same microsecond has its second, too. */
  readonly sinceMicros?: bigint;
  /** Entries that begin before this. */
  readonly untilMicros?: bigint;
}

/** The append-only record of what ran. Throws `LedgerError`. */
export interface Ledger extends AsyncDisposable {
  /** Durable when it resolves. Appending a segment that is there already changes nothing and is no error. */
  append(entry: LedgerEntry): Promise<void>;
  has(namespace: string, segment: string): Promise<boolean>;
  /** In the order of their start. */
  list(query?: LedgerQuery): Promise<readonly LedgerEntry[]>;
  /** Everything these pods ever had, in the order of its start. */
  listOfPods(podUIDs: readonly string[]): Promise<readonly LedgerEntry[]>;
}
