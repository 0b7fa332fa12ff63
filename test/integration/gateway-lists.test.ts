import { NodeCrypto, NodeHttpClient } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import type { Gateway } from "../../src/services/Gateway.ts"
import { type Listing, mayBe, type Strange } from "../../src/services/GatewayLists.ts"
import {
  askFor,
  type Bench,
  Benches,
  everything,
  gatewayAt,
  paidCharge,
  payoutTo,
  refundOf
} from "../layers/Gateways.ts"
import { type Mangle, manglingProxy, spoiling } from "../layers/Mangling.ts"
import { Sandbox } from "../layers/sandbox.ts"

const providers = ["sandbox", "stripe", "paystack"] as const

const through = Effect.fnUntraced(function*(
  provider: (typeof providers)[number],
  mangle: Mangle,
  query?: (search: string) => string
) {
  const { paystack, stripe } = yield* Fakes
  const { base } = yield* Sandbox
  const target = { paystack: paystack.url, stripe: stripe.url, sandbox: base }[provider]
  return yield* gatewayAt[provider](yield* manglingProxy(target, mangle, query))
}, Effect.provide([NodeHttpClient.layerUndici, NodeCrypto.layerMac, NodeCrypto.layerDigest]))

/** Three of each kind, and what of ours each is found by. */
const three = Effect.fnUntraced(function*(bench: Bench) {
  const { gateway } = bench
  const charges = yield* Effect.forEach([1, 2, 3], () => askFor(bench))
  yield* Effect.forEach(charges, (charge) => gateway.createCharge(charge))
  const { made } = yield* paidCharge(bench, 9_000)
  const refunds = yield* Effect.forEach([1, 2, 3], () => refundOf(bench, made.reference, 1_000))
  yield* Effect.forEach(refunds, (refund) => gateway.createRefund(refund))
  const payouts = yield* Effect.forEach([1, 2, 3], () => payoutTo(bench, 1_000))
  yield* Effect.forEach(payouts, (payout) => gateway.createPayout(payout))
  return {
    charge: charges.map((one): string => one.paymentId),
    refund: refunds.map((one): string => one.refundId),
    payout: payouts.map((one): string => one.payoutId)
  }
})
type Page = Parameters<Gateway["listCharges"]>[0]
type Kind = "charge" | "refund" | "payout"

/** What the list has of these ids, and what it could not read of all. */
const readOf = Effect.fnUntraced(function*(gateway: Gateway, kind: Kind, ids: ReadonlyArray<string>) {
  const strange: Array<Strange> = []
  const known = new Set<string>()
  const noting = <A>(
    list: (page: Page) => Effect.Effect<Listing<A>, unknown>,
    idOf: (item: A) => Option.Option<string>
  ) =>
    everything((page) =>
      Effect.tap(list(page), (found) =>
        Effect.sync(() => {
          strange.push(...found.strange)
          for (const item of found.items) known.add(Option.getOrElse(idOf(item), () => ""))
        }))
    )
  yield* {
    charge: noting(gateway.listCharges, ({ paymentId }) => paymentId),
    refund: noting(gateway.listRefunds, ({ operationId }) => operationId),
    payout: noting(gateway.listPayouts, ({ operationId }) => operationId)
  }[kind]
  return { known: ids.filter((id) => known.has(id)), strange }
})

const spoils: Readonly<Record<string, (row: object) => unknown>> = {
  "an amount of words": (row) => ({ ...row, amount: "a lot", amount_total: "a lot" }),
  "a status that nobody knows": (row) => ({ ...row, status: "perhaps", reversed: "perhaps" }),
  "no member at all": () => ({}),
  "nothing": () => null,
  "text": () => "Sorry"
}

layer(Benches.layer, { timeout: "120 seconds", excludeTestServices: true })("a provider's list", (it) => {
  for (const provider of providers) {
    const bench = Effect.map(Benches, (all) => all[provider])

    it.effect(`is read row by row, and what cannot be read is told: ${provider}`, () =>
      Effect.gen(function*() {
        const made = yield* three(yield* bench)
        for (const kind of ["charge", "refund", "payout"] as const) {
          const [first = "", spoilt = "", last = ""] = made[kind]
          for (const [name, change] of Object.entries(spoils)) {
            const gateway = yield* through(provider, spoiling(spoilt, change))
            const { known, strange } = yield* readOf(gateway, kind, made[kind])
            assert.deepStrictEqual([kind, name, known], [kind, name, [first, last]])
            assert.strictEqual(strange.length, 1, `${kind} with ${name}`)
            const isLegible = /^(an amount|a status)/.test(name)
            assert.strictEqual(strange[0]?.ids.includes(spoilt), isLegible, `${kind} with ${name}`)
            assert.strictEqual(typeof strange[0]?.reference, isLegible ? "string" : "object")
          }
        }
      }).pipe(Effect.scoped))
  }

  it.effect("has nothing of ours in a row of another name, where names are our ids", () =>
    Effect.gen(function*() {
      const made = yield* three((yield* Benches).paystack)
      const isOurs = Effect.fnUntraced(function*(kind: Kind, change: object) {
        const [spoilt = ""] = made[kind]
        const gateway = yield* through("paystack", spoiling(spoilt, () => ({ amount: "a lot", ...change })))
        const { strange: [row] } = yield* readOf(gateway, kind, made[kind])
        return row !== undefined && mayBe(row, spoilt)
      })
      for (const kind of ["charge", "payout"] as const) {
        assert.isFalse(yield* isOurs(kind, { reference: "made-in-the-dashboard" }))
        assert.isFalse(yield* isOurs(kind, { reference: "made-in-the-dashboard", reason: made[kind][0] }))
        assert.isTrue(yield* isOurs(kind, { reference: made[kind][0] }))
        assert.isTrue(yield* isOurs(kind, { reference: "" }))
      }
      // Refunds are named by Paystack, and ours by a note.
      assert.isTrue(yield* isOurs("refund", { id: 1 }))
    }).pipe(Effect.scoped))

  it.effect("is followed to its end, also when the last row of a page has no name", () =>
    Effect.gen(function*() {
      const made = yield* three((yield* Benches).stripe)
      const [first = "", spoilt = "", last = ""] = made.charge
      const small = (search: string) => search.replace(/limit=\d+/, "limit=2")
      const gateway = yield* through("stripe", spoiling(spoilt, () => null), small)
      const { known, strange } = yield* readOf(gateway, "charge", made.charge)
      assert.deepStrictEqual(known, [first, last])
      assert.isAtLeast(strange.length, 1)
    }).pipe(Effect.scoped))
})
