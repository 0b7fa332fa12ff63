import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { TransferId } from "../domain/Ids.ts"
import { Instant } from "../domain/Instant.ts"
import { RangeReversed } from "../domain/LedgerAdmin.ts"
import { Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { IdempotencyKeyReused } from "../domain/MoneyRequest.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, TooManyRequests, Unavailable } from "../domain/Problem.ts"
import {
  BalanceLimit,
  Entry,
  InsufficientFunds,
  SameAccount,
  Transfer,
  TransferKind,
  TransferRequest,
  Wallet,
  WalletBalance
} from "../domain/Wallet.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { transfersByEmail } from "./middleware/Policies.ts"
import { RateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const list = HttpApiEndpoint.get("list", "/api/wallet", {
  success: Schema.Struct({ wallets: Schema.Array(Wallet) }),
  error: Unavailable
})

const transactions = HttpApiEndpoint.get("transactions", "/api/wallet/transactions", {
  query: {
    ...pageQuery,
    currency: Schema.optionalKey(Currency),
    kind: Schema.optionalKey(TransferKind),
    from: Schema.optionalKey(Instant),
    to: Schema.optionalKey(Instant)
  },
  success: pageOf(Entry),
  error: [InvalidRequest, RangeReversed, Unavailable]
})

const balance = HttpApiEndpoint.get("balance", "/api/wallet/balance", {
  query: { currency: Currency, at: Schema.optionalKey(Instant) },
  success: WalletBalance,
  error: Unavailable
})

const statement = HttpApiEndpoint.get("statement", "/api/wallet/statement", {
  query: {
    currency: Currency,
    from: Schema.optionalKey(Instant),
    to: Schema.optionalKey(Instant)
  },
  success: HttpApiSchema.StreamUint8Array({ contentType: "text/csv" }),
  error: [RangeReversed, Unavailable]
})

const transfer = HttpApiEndpoint.get("transfer", "/api/wallet/transfers/:id", {
  params: { id: TransferId },
  success: Transfer,
  error: [NotFound, Unavailable]
})

const send = HttpApiEndpoint.post("send", "/api/wallet/transfers", {
  payload: TransferRequest,
  success: Transfer.pipe(HttpApiSchema.status(201)),
  error: [
    NotFound,
    SameAccount,
    UnsupportedCurrency,
    InsufficientFunds,
    IdempotencyKeyReused,
    BalanceLimit,
    TooManyRequests,
    Unavailable
  ]
})
  .annotate(KeptBy, "ledger")
  .annotate(AdmissionClass, "payments")
  .annotate(RatePolicies, [transfersByEmail])
  .middleware(Idempotency)

export class WalletApi extends HttpApiGroup.make("wallet")
  .add(list, balance, transactions, statement, transfer, send)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
{}
