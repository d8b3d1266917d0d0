import { apiVersionOf, badRequest, type KubeObject, methodNotAllowed } from "@isopod/api";
import { isAllowed } from "../auth/authorize.ts";
import type { ApiResource, User } from "../contract.ts";
import { sendJson } from "../http/answer.ts";
import { negotiateShape } from "../http/negotiate.ts";
import type { ResourceTarget } from "../http/path.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { RequestContext } from "../request-context.ts";
import { readObject } from "../verbs/body-object.ts";

/** A resource that is only created, answered at once, and never stored. */
interface Review {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  answer(body: KubeObject, user: User): object;
}

interface AccessSpec {
  readonly resourceAttributes?: {
    readonly namespace?: string;
    readonly verb?: string;
    readonly group?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly name?: string;
  };
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

const reviews: readonly Review[] = [
  {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    answer: (_body, user) => ({ userInfo: { username: user.name, groups: user.groups } }),
  },
  {
    group: "authorization.k8s.io",
    version: "v1",
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    answer: (body, user) => accessStatus(body, user),
  },
  {
    group: "authorization.k8s.io",
    version: "v1",
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    answer: (_body, user) => {
      const isAdministrator = isAllowed({ user, verb: "*" });
      return {
        resourceRules: isAdministrator ? [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }] : [],
        nonResourceRules: isAdministrator ? [{ verbs: ["*"], nonResourceURLs: ["*"] }] : [],
        incomplete: false,
      };
    },
  },
];

function accessStatus(body: KubeObject & { readonly spec?: AccessSpec }, user: User): object {
  const { resourceAttributes, nonResourceAttributes } = body.spec ?? {};
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    throw badRequest("exactly one of spec.resourceAttributes or spec.nonResourceAttributes must be specified");
  }
  const { verb = "", ...attributes } = resourceAttributes ?? nonResourceAttributes ?? {};
  return { allowed: isAllowed({ user, verb, ...attributes }) };
}

/** Their entries for discovery, by group version. */
export const reviewResources: readonly {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ApiResource[];
}[] = [...new Set(reviews.map(({ group }) => group))].map((group) => ({
  group,
  version: "v1",
  resources: reviews
    .filter((review) => review.group === group)
    .map(({ kind, plural }) => ({
      name: plural,
      singularName: kind.toLowerCase(),
      namespaced: false,
      kind,
      verbs: ["create"],
    })),
}));

export function findReview({ group, version, resource }: ResourceTarget): Review | undefined {
  return reviews.find((known) => known.group === group && known.version === version && known.plural === resource);
}

export async function review(context: RequestContext, found: Review): Promise<void> {
  if (context.request.method !== "POST") throw methodNotAllowed(found, (context.request.method ?? "get").toLowerCase());
  negotiateShape(context.request.headers.accept, ["object"]);
  const { fieldValidation } = parseWriteOptions(context.query, "CreateOptions");
  const kind = { apiVersion: apiVersionOf(found), kind: found.kind };
  const body = await readObject(context, kind, fieldValidation);
  const status = found.answer(body, context.user);
  sendJson(context.response, 201, JSON.stringify({ ...body, status }), context.warnings);
}
