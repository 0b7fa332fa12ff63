import { Schema } from "effect"
import { Problem } from "./Problem.ts"

export const Status = Schema.Literals(["ok", "degraded", "down"])
export type Status = typeof Status.Type

export const BulkheadHealth = Schema.Struct({
  status: Status,
  restarts: Schema.Int,
  since: Schema.DateTimeUtcFromString
}).annotate({ identifier: "BulkheadHealth" })
export type BulkheadHealth = typeof BulkheadHealth.Type

export const Services = Schema.Struct({
  identity: BulkheadHealth,
  wallet: BulkheadHealth,
  payments: BulkheadHealth,
  rewards: BulkheadHealth,
  video: BulkheadHealth
})
export type Services = typeof Services.Type
export type BulkheadName = keyof Services

export const HealthView = Schema.Struct({
  status: Schema.Literals(["ok", "degraded"]),
  timestamp: Schema.DateTimeUtcFromString,
  version: Schema.String,
  services: Services
}).annotate({ identifier: "Health" })

/** Money moves as long as the ledger posts. Everything else that fails is a degradation: the server still earns its keep. */
export const moneyMoves = (services: Services): boolean => services.wallet.status !== "down"

export const overall = (services: Services): "ok" | "degraded" =>
  Object.values(services).every(({ status }) => status === "ok") ? "ok" : "degraded"

export class MoneyCannotMove extends Problem<MoneyCannotMove>()("MoneyCannotMove", {
  type: "/problems/money-cannot-move",
  status: 503,
  title: "The ledger cannot post"
}, { code: Schema.tag("MoneyCannotMove"), retry_after: Schema.Int, services: Services }) {}
