export { type OnProgress, type RunningService, requireRoot, startService } from "./service.ts";
export { ServiceError, type ServiceErrorCode, serviceErrorCodes } from "./service-error.ts";
export {
  defaultDataDirectory,
  defaultPort,
  defaultSettings,
  type ServicePaths,
  type ServiceSettings,
  servicePaths,
} from "./settings.ts";
