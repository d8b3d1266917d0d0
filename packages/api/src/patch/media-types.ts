export const jsonPatchMediaType = "application/json-patch+json";
export const mergePatchMediaType = "application/merge-patch+json";
export const strategicMergePatchMediaType = "application/strategic-merge-patch+json";
