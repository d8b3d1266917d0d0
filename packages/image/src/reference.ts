import { type Digest, isDigest } from "./digest.ts";
import { ImageError } from "./image-error.ts";

/** A normalised image name. At least one of `tag` and `digest` is set. */
export interface Reference {
  /** Host and optional port as users know it; `docker.io` for Docker Hub. */
  readonly registry: string;
  /** Path without leading slash; official images of Docker Hub begin with `library/`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

// The grammar of github.com/distribution/reference, which Docker, containerd and Kubernetes share.
const pathComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const hostPattern =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Parses an image name as Docker does: no registry means `docker.io`, no namespace there means `library`,
 * neither tag nor digest means `latest`. Throws `InvalidReference`.
 */
export function parseReference(text: string): Reference {
  const refuse = (why: string): never => {
    throw new ImageError(`${JSON.stringify(text.slice(0, 300))} is not an image name: ${why}`, {
      code: "InvalidReference",
      stage: "pull",
      object: text.slice(0, 300),
    });
  };
  if (text === "") refuse("it is empty");
  if (text.length > 1024) refuse("it is longer than 1024 characters");

  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const digestText = rest.slice(at + 1);
    if (isDigest(digestText)) digest = digestText;
    else refuse("after @ must come sha256: and 64 lower-case hexadecimal digits");
    rest = rest.slice(0, at);
  }

  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    if (!tagPattern.test(tag)) refuse("the tag may have letters, digits, _ . - and at most 128 of them");
    rest = rest.slice(0, colon);
  }

  const { registry, repository } = splitRegistry(rest);
  if (!hostPattern.test(registry)) refuse(`${JSON.stringify(registry)} is not a registry's host`);
  if (repository.length > 255) refuse("the repository is longer than 255 characters");
  for (const component of repository.split("/")) {
    if (pathComponent.test(component)) continue;
    refuse(
      /[A-Z]/.test(component)
        ? "the repository must be in lower case"
        : `${JSON.stringify(component)} cannot be a part of a repository's path`,
    );
  }
  if (tag === undefined && digest === undefined) tag = "latest";
  return Object.freeze({ registry, repository, tag, digest });
}

/** The first part is a registry when it could not be a namespace: it has a dot, a port, an upper-case letter, or is localhost. */
function splitRegistry(name: string): { readonly registry: string; readonly repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isRegistry = first === "localhost" || /[.:A-Z]/.test(first);
  let registry = isRegistry ? first : "docker.io";
  let repository = isRegistry ? name.slice(slash + 1) : name;
  if (registry === "index.docker.io") registry = "docker.io";
  if (registry === "docker.io" && !repository.includes("/")) repository = `library/${repository}`;
  return { registry, repository };
}

/** `registry/repository:tag`, or `registry/repository@sha256:…` when there is a digest (which decides, whatever the tag). */
export function formatReference(reference: Reference): string {
  const name = `${reference.registry}/${reference.repository}`;
  return reference.digest === undefined ? `${name}:${reference.tag ?? "latest"}` : `${name}@${reference.digest}`;
}
