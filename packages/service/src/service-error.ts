import { IsopodError } from "@isopod/base";

export const serviceErrorCodes = ["NotRoot", "AlreadyRunning", "InvalidSetting"] as const;
export type ServiceErrorCode = (typeof serviceErrorCodes)[number];

export class ServiceError extends IsopodError<ServiceErrorCode> {}
