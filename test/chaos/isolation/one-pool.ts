import * as Pools from "../../../src/layers/Pools.ts"

export * from "../../../src/layers/Pools.ts"

// The mistake: one constant, where each bulkhead should have called for a pool of its own. The ledger's writer is of the wallet
// too: left out, it would keep a connection for postings, and the fault would show only where members look at wallets.
const shared = Pools.pool("wallet")
const sharing: ReadonlyArray<Pools.Bulkhead> = ["wallet", "walletWriter", "videoApi"]

export const pool: typeof Pools.pool = (bulkhead) => sharing.includes(bulkhead) ? shared : Pools.pool(bulkhead)
