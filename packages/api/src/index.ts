export { applyDefaults } from "./defaulting/index.ts";
export type { DecodedBody, GroupVersionKind } from "./codec/conform-to.ts";
export type { DecodeOptions } from "./codec/decode-body.ts";
export { acceptedMediaTypes, jsonMediaType, protobufMediaType, yamlMediaType } from "./codec/media-types.ts";
export {
  everyField,
  type FieldRequirement,
  type FieldSelector,
  checkFieldSelector,
  matchesFields,
  parseFieldSelector,
  requiredFieldValue,
} from "./field-selector.ts";
export { allVerbs, apiVersionOf, type ResourceDefinition, type Verb } from "./kinds/definition.ts";
export { findKind, findResource, resourceDefinitions, resources } from "./kinds/index.ts";
export { describeSubresource, type SubresourceDescription } from "./kinds/subresources.ts";
export {
  everyLabel,
  formatLabelSelector,
  type LabelRequirement,
  type LabelSelector,
  labelSelectorFromObject,
  matchesLabels,
  parseLabelSelector,
} from "./label-selector.ts";
export {
  addressClaimName,
  configKeyProblems,
  dns1123LabelProblems,
  dns1123SubdomainProblems,
  envVarNameProblems,
  generateName,
  isDns1123Label,
  isDns1123Subdomain,
  labelValueProblems,
  qualifiedNameProblems,
} from "./names.ts";
export { matchesNodeSelectorTerm } from "./node-selector.ts";
export { openApiV2MediaType, openApiV2Minimal } from "./openapi/open-api-v2.ts";
export type { OpenApiV3Document, OpenApiV3Index } from "./openapi/open-api-v3.ts";
export { jsonPatchMediaType, mergePatchMediaType, strategicMergePatchMediaType } from "./patch/media-types.ts";
export { applyMergePatch } from "./patch/merge-patch.ts";
export {
  addressAnnotation,
  defaultVpcName,
  isPaused,
  isPauseWanted,
  pausedAnnotation,
  pausedCondition,
  pauseFailedReason,
  podNodeRequest,
  podSize,
  podStartFrom,
  podUidLabel,
  podVpcName,
  qosClassOf,
  sizeAnnotations,
  sizeCpuAnnotation,
  sizeMemoryAnnotation,
  snapshotAnnotation,
  snapshotFinalizer,
  type StartedFrom,
  type StartFrom,
  startedFromAnnotation,
  startedFromValues,
  startFromAnnotation,
  startFromValues,
  startStagesAnnotation,
  usageFinalizer,
  vpcAnnotation,
} from "./pod-resources.ts";
export { podTemplateOf } from "./pod-template.ts";
export { pausedPrices, type SecondPrices } from "./price-list.ts";
export { isObject, type JsonObject } from "./schema/conform.ts";
export {
  addQuantity,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  parseQuantityValue,
  type Quantity,
  QuantityError,
  type QuantityFormat,
  quantityFromBytes,
  quantityFromMilli,
  quantityToBytes,
  quantityToMilli,
} from "./quantity.ts";
export {
  catalogue,
  defaultSize,
  describeSize,
  formatSizeWord,
  guestOverheadMiB,
  type InstanceSize,
  largestSize,
  parseSizeWord,
  type PodSizing,
  roundUpSize,
  sizePod,
  vcpusFor,
  vmOverhead,
} from "./sizing.ts";
export {
  acceptedPatchMediaTypes,
  applyPatch,
  checkFields,
  checkPatchMediaType,
  conformTo,
  decodeBody,
  openApiV3Document,
  openApiV3Index,
  pruneUnknown,
  strictDecodingError,
  validate,
  validatePodSpec,
} from "./server-side.ts";
export {
  ApiError,
  alreadyExists,
  apiErrorFromStatus,
  apiErrorIn,
  badRequest,
  conflict,
  expired,
  forbidden,
  hasReason,
  internal,
  invalid,
  isAlreadyExists,
  isConflict,
  isExpired,
  isForbidden,
  isInvalid,
  isNotFound,
  type KindName,
  methodNotAllowed,
  notAcceptable,
  notFound,
  pathNotFound,
  type ResourceName,
  requestTooLarge,
  resourceVersionTooLarge,
  type StatusReason,
  serviceUnavailable,
  staleObjectMessage,
  statusReasons,
  timeout,
  tooManyRequests,
  unauthorized,
  unsupportedMediaType,
} from "./status-error.ts";
export { humanBytes } from "./tables/human-bytes.ts";
export { humanDuration, sinceText } from "./tables/duration.ts";
export { partialObjectMetadata, printTable, type TableOptions } from "./tables/index.ts";
export { type PodSummary, summarizePod } from "./tables/pod.ts";
export * from "./types/index.ts";
