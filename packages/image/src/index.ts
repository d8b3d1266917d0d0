export type {
  CollectResult,
  DiskPart,
  Image,
  ImageAccounts,
  ImageConfig,
  ImageStore,
  PullOptions,
  PullProgress,
  RegistryCredentials,
} from "./contract.ts";
export { ImageError, type ImageErrorCode, imageErrorCodes, isImageError } from "./image-error.ts";
export type { LayerLimits } from "./layer/layer-entry.ts";
export { formatReference, parseReference, type Reference } from "./reference.ts";
export { type OpenImageStoreOptions, openImageStore } from "./store/open-image-store.ts";
