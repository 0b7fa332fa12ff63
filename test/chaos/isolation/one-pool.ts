import * as Pools from "../../../src/layers/Pools.ts"

export * from "../../../src/layers/Pools.ts"

// The mistake: one constant, where each bulkhead should have called for a pool of its own.
const shared = Pools.pool("wallet")

export const pool: typeof Pools.pool = (bulkhead) =>
  bulkhead === "wallet" || bulkhead === "videoApi" ? shared : Pools.pool(bulkhead)
