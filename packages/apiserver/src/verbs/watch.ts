import { ApiError, expired, type ResourceDefinition } from "@isopod/api";
import { isAbort } from "@isopod/base";
import { isStoreError, type StoreEvent } from "@isopod/store";
import { toApiError } from "../http/answer.ts";
import { negotiateShape } from "../http/negotiate.ts";
import { objectShapes } from "../http/send-object.ts";
import { includeObject } from "../http/table-options.ts";
import { keyPrefix } from "../objects/object-key.ts";
import { apiErrorOf } from "../objects/object-store.ts";
import { reachRevision } from "../objects/revision.ts";
import { parseSelection, type Selection } from "../objects/selection.ts";
import type { RequestContext } from "../request-context.ts";
import { filterEvent } from "../watch/event-filter.ts";
import { type EventLines, errorLine, eventLines } from "../watch/event-lines.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import { readPage } from "./list.ts";
import { parseWatchOptions, type WatchOptions } from "./list-options.ts";

const defaultBookmarkIntervalMs = 60_000;
const defaultSlowWatcherMs = 30_000;
/** Without a timeout of the client's, a watch ends after 30 to 60 minutes, so that load spreads over servers again. */
const defaultTimeoutSeconds = () => 1800 * (1 + Math.random());

/** Streams events of a collection, or of one object, until the client, the timeout or the server ends it. */
export async function watch(
  context: RequestContext,
  definition: ResourceDefinition,
  namespace: string,
  name: string,
): Promise<void> {
  const { objects, options: serverOptions } = context.server;
  const { clock } = serverOptions;
  const selection = parseSelection(definition, namespace, name, context.query);
  const options = parseWatchOptions(context.query);
  const lines = eventLines({
    definition,
    shape: negotiateShape(context.request.headers.accept, objectShapes),
    cache: objects.cache,
    includeObject: includeObject(context.query),
    nowMs: () => clock.nowMs(),
  });
  if (options.revision !== undefined) await reachRevision(objects, options.revision, context.signal);

  const timeoutMs = 1000 * (options.timeoutSeconds ?? defaultTimeoutSeconds());
  const timedOut = new AbortController();
  const signal = AbortSignal.any([context.signal, timedOut.signal]);
  const stream = new WatchStream(
    context.response,
    clock,
    serverOptions.slowWatcherMs ?? defaultSlowWatcherMs,
    context.signal,
  );
  const session = new WatchSession(context, definition, selection, options, lines, stream);
  stream.open();
  // Each ends when the watch does; a bookmark that cannot be sent ends the watch.
  const timers = Promise.all([
    clock.sleep(timeoutMs, signal).then(() => timedOut.abort()),
    session.sendBookmarks(serverOptions.bookmarkIntervalMs ?? defaultBookmarkIntervalMs, signal),
  ]).catch(() => timedOut.abort());
  try {
    await session.run(signal);
    if (timedOut.signal.aborted && !context.signal.aborted) await session.bookmark();
  } catch (error) {
    if (!context.signal.aborted && !isAbort(error))
      await stream.write([errorLine(statusOf(context, definition, error))]);
  } finally {
    timedOut.abort();
    await timers;
    stream.end();
  }
}

function statusOf(context: RequestContext, definition: ResourceDefinition, error: unknown): ApiError["status"] {
  if (isStoreError(error, "Compacted")) return expired(`too old resource version: ${error.message}`).status;
  return toApiError(apiErrorOf(definition, "", error), context.server.logger).status;
}

/** One watch under way: where it is, and what it has told. */
class WatchSession {
  readonly #context: RequestContext;
  readonly #definition: ResourceDefinition;
  readonly #selection: Selection;
  readonly #options: WatchOptions;
  readonly #lines: EventLines;
  readonly #stream: WatchStream;
  /** Everything up to here has been told; undefined until the initial events are. */
  #revision: number | undefined;
  /** A bookmark between two events of one batch would tell less than the first of them did. */
  #isTelling = false;

  constructor(
    context: RequestContext,
    definition: ResourceDefinition,
    selection: Selection,
    options: WatchOptions,
    lines: EventLines,
    stream: WatchStream,
  ) {
    this.#context = context;
    this.#definition = definition;
    this.#selection = selection;
    this.#options = options;
    this.#lines = lines;
    this.#stream = stream;
  }

  async run(signal: AbortSignal): Promise<void> {
    const start = await this.#begin(signal);
    const { store } = this.#context.server.objects;
    const prefix = keyPrefix(this.#definition, this.#selection.namespace);
    this.#revision = start;
    for await (const { revision, events } of store.watch(prefix, start, signal)) {
      this.#isTelling = true;
      if (events.length > 0) await this.#stream.write(this.#linesOf(events));
      this.#revision = revision;
      this.#isTelling = false;
    }
  }

  /** Tells the revision reached, when the client understands bookmarks. */
  async bookmark(): Promise<void> {
    if (!this.#options.allowsBookmarks || this.#revision === undefined || this.#isTelling) return;
    await this.#stream.write([this.#lines.bookmark(this.#revision, false)]);
  }

  /** Until the signal aborts, or at once when the client wants none. */
  async sendBookmarks(intervalMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#options.allowsBookmarks) return;
    for (;;) {
      await this.#context.server.options.clock.sleep(intervalMs, signal);
      await this.bookmark();
    }
  }

  /** Tells what there is already, when that is asked for; returns the revision from which events follow. */
  async #begin(signal: AbortSignal): Promise<number> {
    const { objects } = this.#context.server;
    const { revision, sendsInitialEvents, allowsBookmarks } = this.#options;
    const wantsInitial = sendsInitialEvents ?? revision === undefined;
    if (!wantsInitial) return revision ?? (await objects.store.currentRevision());
    const page = await readPage(
      objects,
      this.#definition,
      this.#selection,
      { limit: 0, continue: undefined, revision: { type: "current" } },
      signal,
    );
    const lines = page.items.map((stored) => this.#lines.event({ type: "ADDED", stored }, stored.modRevision));
    await this.#stream.write(lines);
    if (sendsInitialEvents === true && allowsBookmarks) {
      await this.#stream.write([this.#lines.bookmark(page.revision, true)]);
    }
    return page.revision;
  }

  *#linesOf(events: readonly StoreEvent[]): Generator<Uint8Array> {
    const { cache } = this.#context.server.objects;
    for (const event of events) {
      const filtered = filterEvent(event, this.#selection.matches, (stored) => cache.decode(stored));
      if (filtered === undefined) continue;
      // Put under the event's revision: for a deletion, later than that of the version shown.
      yield this.#lines.event(filtered, event.revision);
    }
  }
}
