export const jsonMediaType = "application/json";
export const yamlMediaType = "application/yaml";
export const protobufMediaType = "application/vnd.kubernetes.protobuf";

/** What a body of a kind may be sent as. */
export function acceptedMediaTypes(isBuiltIn: boolean): readonly string[] {
  return [jsonMediaType, yamlMediaType, ...(isBuiltIn ? [protobufMediaType] : [])];
}
