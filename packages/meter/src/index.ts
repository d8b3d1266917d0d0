export { BillingApi, type BillingApiOptions, billingGroup, billingVersion } from "./billing-api.ts";
export {
  type BillableSegment,
  type BillingPeriod,
  billedSeconds,
  type Invoice,
  type InvoiceLine,
  invoice,
} from "./invoice.ts";
export type { Ledger, LedgerEntry, LedgerQuery } from "./ledger/contract.ts";
export { LedgerError, type LedgerErrorCode, ledgerErrorCodes } from "./ledger/ledger-error.ts";
export { openSqliteLedger } from "./ledger/sqlite/sqlite-ledger.ts";
export { Meter, type MeterOptions } from "./meter.ts";
export {
  formatMicros,
  type Prices,
  partsToMicros,
  priceParts,
  pricesAt,
  pricesInOrder,
  type Rates,
  ratesIn,
} from "./price.ts";
