export {
  type Certificates,
  ensureCertificates,
  type EnsureCertificatesOptions,
  type NodeCertificates,
} from "./certificates/ensure-certificates.ts";
export type { KeyPair } from "./certificates/issue.ts";
export { type KubeconfigOptions, writeKubeconfig } from "./certificates/kubeconfig.ts";
export type {
  AdmissionHook,
  AdmissionRequest,
  AggregatedApi,
  AggregatedRequest,
  ApiResource,
  ApiServer,
  ApiServerOptions,
  KubeletClient,
  ServerTls,
  TokenCredential,
  User,
} from "./contract.ts";
export { ApiServerError, type ApiServerErrorCode, apiServerErrorCodes } from "./errors.ts";
export { startApiServer } from "./server.ts";
