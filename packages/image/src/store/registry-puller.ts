import { type Logger, describeError } from "@isopod/base";
import type { RegistryCredentials } from "../contract.ts";
import { ImageError } from "../image-error.ts";
import { formatReference, type Reference } from "../reference.ts";
import { downloadBlob, downloadConfig } from "../registry/blob-download.ts";
import type { HttpTransport } from "../registry/http-transport.ts";
import { type ImageManifest, manifestError, parseManifest } from "../registry/manifest.ts";
import { choosePlatform, type Platform } from "../registry/platform.ts";
import { type FetchedManifest, RepositoryClient } from "../registry/repository-client.ts";
import type { ImportSource } from "./image-importer.ts";

export interface PullerOptions {
  readonly transport: HttpTransport;
  readonly platform: Platform;
  readonly logger: Logger;
  /** For a registry's name, hosts that are asked before it, in order, without credentials. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
}

/** An index may name an index; deeper nesting than this is no image. */
const maxIndexDepth = 3;

/**
 * Finds an image in its registry, or in one of the registry's mirrors, and fetches its documents.
 * The layers are fetched later, from where the documents came.
 */
export async function resolveImage(
  reference: Reference,
  credentials: RegistryCredentials | undefined,
  options: PullerOptions,
  signal: AbortSignal,
): Promise<ImportSource> {
  const name = formatReference(reference);
  for (const host of options.mirrors[reference.registry] ?? []) {
    try {
      return await resolveAt(host, reference, undefined, options, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof ImageError)) throw error;
      options.logger.warn({ reference: name, mirror: host, error: describeError(error) }, "a mirror failed");
    }
  }
  const host = reference.registry === "docker.io" ? "registry-1.docker.io" : reference.registry;
  return await resolveAt(host, reference, credentials, options, signal);
}

async function resolveAt(
  host: string,
  reference: Reference,
  credentials: RegistryCredentials | undefined,
  options: PullerOptions,
  signal: AbortSignal,
): Promise<ImportSource> {
  const { transport } = options;
  const name = formatReference(reference);
  const client = new RepositoryClient({ transport, host, repository: reference.repository, credentials, name });
  const { fetched, manifest } = await findManifest(client, reference, options.platform, name, signal);
  const { digest, sizeBytes } = manifest.config;
  const config = { client, transport, digest, sizeBytes, name: `the config ${digest.slice(0, 19)}… of ${name}` };
  return {
    name,
    digest: fetched.digest,
    manifestContent: fetched.content,
    manifest,
    configContent: await downloadConfig(config, signal),
    references: [name],
    hasLayerDigests: true,
    async *openLayer(index, layerSignal, onBytes) {
      const layer = manifest.layers[index];
      if (layer === undefined) throw new RangeError(`there is no layer ${index}`);
      const layerName = `layer ${layer.digest.slice(0, 19)}… of ${name}`;
      for await (const chunk of downloadBlob({ client, transport, ...layer, name: layerName }, layerSignal)) {
        onBytes(chunk.length);
        yield chunk;
      }
    },
  };
}

async function findManifest(
  client: RepositoryClient,
  reference: Reference,
  platform: Platform,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly fetched: FetchedManifest; readonly manifest: ImageManifest }> {
  let wanted: string = reference.digest ?? reference.tag ?? "latest";
  for (let depth = 0; depth <= maxIndexDepth; depth++) {
    const fetched = await client.manifest(wanted, signal);
    const document = parseManifest(fetched.content, fetched.mediaType, name);
    if (document.kind === "manifest") return { fetched, manifest: document };
    wanted = choosePlatform(document, platform, name).digest;
  }
  throw manifestError("InvalidManifest", name, "its index leads to nothing but more indexes");
}
