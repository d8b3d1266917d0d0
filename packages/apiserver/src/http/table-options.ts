import { badRequest } from "@isopod/api";

/** `includeObject` of `meta.k8s.io/v1 TableOptions`. Throws BadRequest. */
export function includeObject(query: URLSearchParams): "None" | "Metadata" | "Object" {
  const text = query.get("includeObject") ?? "";
  switch (text) {
    case "":
    case "Metadata":
      return "Metadata";
    case "None":
    case "Object":
      return text;
    default:
      throw badRequest(
        `includeObject: Unsupported value: ${JSON.stringify(text)}: supported values: "Metadata", "None", "Object"`,
      );
  }
}
