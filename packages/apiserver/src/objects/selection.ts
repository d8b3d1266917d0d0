import {
  checkFieldSelector,
  type FieldSelector,
  type KubeObject,
  type LabelSelector,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  requiredFieldValue,
  type ResourceDefinition,
} from "@isopod/api";

/** Which objects of a collection a request is about. */
export interface Selection {
  readonly namespace: string;
  /** The one name that can match, if there is just one: a look-up in place of a scan. */
  readonly name: string | undefined;
  /** Undefined: everything, so that nothing need be decoded. */
  readonly matches: ((object: KubeObject) => boolean) | undefined;
}

/** Throws BadRequest for selectors that do not parse or name fields the kind does not have. */
export function parseSelection(
  definition: ResourceDefinition,
  namespace: string,
  name: string,
  query: URLSearchParams,
): Selection {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const fields = parseFieldSelector(query.get("fieldSelector") ?? "");
  checkFieldSelector(definition, fields);
  const selectedName = name === "" ? requiredFieldValue(fields, "metadata.name") : name;
  const selectedNamespace = namespace === "" ? requiredFieldValue(fields, "metadata.namespace") : namespace;
  return {
    namespace: selectedNamespace ?? "",
    name: selectedName,
    matches: matcher(definition, labels, fields, name),
  };
}

function matcher(
  definition: ResourceDefinition,
  labels: LabelSelector,
  fields: FieldSelector,
  name: string,
): Selection["matches"] {
  if (labels.requirements.length === 0 && fields.requirements.length === 0 && name === "") return undefined;
  return (object) =>
    (name === "" || object.metadata.name === name) &&
    matchesLabels(labels, object.metadata.labels) &&
    matchesFields(definition, fields, object);
}
