import { IsopodError } from "@isopod/base";

export const ledgerErrorCodes = ["Unavailable", "NoSpace"] as const;
export type LedgerErrorCode = (typeof ledgerErrorCodes)[number];

export class LedgerError extends IsopodError<LedgerErrorCode> {}
