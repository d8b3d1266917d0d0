import { badRequest, decodeBody, type DeleteOptions, invalid, type StatusCause } from "@isopod/api";
import { readBody } from "../http/body.ts";
import { dryRunCauses, parseBoolean, parseInteger } from "../http/write-options.ts";
import type { RequestContext } from "../request-context.ts";

/** Reads the options of a delete: the body, or else the query's form of the same. */
export async function readDeleteOptions(context: RequestContext): Promise<DeleteOptions> {
  const bytes = await readBody(context.request);
  const options = bytes.length === 0 ? fromQuery(context.query) : fromBody(context, bytes);
  const causes: StatusCause[] = [...dryRunCauses(options.dryRun ?? [])];
  const { propagationPolicy, orphanDependents } = options;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    const message = "Invalid value: orphanDependents and deletionPropagation cannot be both set";
    causes.push({ reason: "FieldValueInvalid", message, field: "propagationPolicy" });
  }
  if (propagationPolicy !== undefined && !["Foreground", "Background", "Orphan"].includes(propagationPolicy)) {
    const message = `Unsupported value: ${JSON.stringify(propagationPolicy)}: supported values: "Background", "Foreground", "Orphan"`;
    causes.push({ reason: "FieldValueNotSupported", message, field: "propagationPolicy" });
  }
  if (causes.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", causes);
  return options;
}

function fromBody(context: RequestContext, bytes: Uint8Array): DeleteOptions {
  const { object } = decodeBody(bytes, context.request.headers["content-type"], {
    expected: { apiVersion: "v1", kind: "DeleteOptions" },
    ignoreStrictErrors: true,
  });
  return asDeleteOptions(object);
}

/** The decoder has checked the types of fields it knows; this is the same object under its own name. */
export function asDeleteOptions(object: { readonly [key: string]: unknown }): DeleteOptions {
  const options: DeleteOptions = object;
  return options;
}

function fromQuery(query: URLSearchParams): DeleteOptions {
  const gracePeriodSeconds = parseInteger(query, "gracePeriodSeconds");
  const propagationPolicy = query.get("propagationPolicy");
  const orphanDependents = parseBoolean(query, "orphanDependents");
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  return {
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === null ? {} : { propagationPolicy: asPolicy(propagationPolicy) }),
    ...(orphanDependents === undefined ? {} : { orphanDependents }),
    ...(dryRun.length === 0 ? {} : { dryRun }),
  };
}

function asPolicy(text: string): NonNullable<DeleteOptions["propagationPolicy"]> {
  if (text === "Orphan" || text === "Background" || text === "Foreground") return text;
  throw badRequest(`propagationPolicy: Unsupported value: ${JSON.stringify(text)}`);
}
