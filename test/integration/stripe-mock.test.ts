import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Redacted } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "../../bench/ports.ts"
import { PaymentId, PayoutId, RefundId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { makeStripeGateway } from "../../src/layers/stripe/StripeGateway.ts"
import type { ProviderError } from "../../src/services/Gateway.ts"
import { newId } from "../../src/services/NewId.ts"

const version = "v0.203.0"

/** Stripe's own mock, built from its published API: it refuses a request that the API does not allow. */
const install = (): string | undefined => {
  const folder = join(tmpdir(), `midnight-stripe-mock-${version}-${process.getuid?.() ?? 0}`)
  const binary = join(folder, "stripe-mock")
  if (existsSync(binary)) return binary
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    execFileSync("go", ["install", `github.com/stripe/stripe-mock@${version}`], {
      env: { ...process.env, GOBIN: folder, GOFLAGS: "-mod=mod" },
      stdio: "ignore",
      timeout: 180_000
    })
    return binary
  } catch {
    return undefined
  }
}
const binary = install()
if (binary === undefined) {
  process.stderr.write(
    "\nNOT CHECKED: requests to Stripe against its published API. That takes Go and the module "
      + `github.com/stripe/stripe-mock@${version}, and one of them is not at hand.\n`
  )
}

const isListening = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.on("connect", () => resolve(true))
    socket.on("error", () => resolve(false))
    socket.on("close", () => socket.destroy())
  })

const startMock = Effect.gen(function*() {
  const port = yield* Effect.promise(freePort)
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(binary ?? "", ["-http-addr", `127.0.0.1:${port}`], { stdio: "ignore" })),
    (running) => Effect.sync(() => running.kill("SIGKILL"))
  )
  yield* Effect.promise(async () => {
    for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt++) {
      if (await isListening(port)) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error("stripe-mock does not listen")
  })
  return `http://127.0.0.1:${port}`
})

interface Seen {
  readonly request: string
  readonly status: number
  readonly answer: string
}

// The mock's examples know nothing of ours: with this they lead the adapter on to what it does with its own objects.
const ours = `"metadata":{"payout_id":"0198c0de-0000-7000-8000-000000000001","transfer":"tr_1"}`

/** Stands between, and writes down what was sent and whether the API allows it. */
const relay = Effect.fnUntraced(function*(target: string) {
  const seen: Array<Seen> = []
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      createServer((message, response) => {
        const chunks: Array<Buffer> = []
        message.on("data", (chunk: Buffer) => chunks.push(chunk))
        message.on("end", () => {
          const headers = new Headers()
          for (const [name, value] of Object.entries(message.headers)) {
            if (typeof value === "string" && !["host", "connection", "content-length"].includes(name)) {
              headers.set(name, value)
            }
          }
          const body = chunks.length === 0 ? null : Buffer.concat(chunks)
          fetch(target + message.url, { method: message.method ?? "GET", headers, body }).then(async (result) => {
            const answer = (await result.text()).replace(/"metadata":\s*(?:\{\}|null)/g, ours)
              .replace(/"status":\s*"(?:pending|in_transit|paid)"/, "\"status\":\"failed\"")
            const path = new URL(message.url ?? "/", target).pathname.replace(/\/(cs|re|acct|tr|po|dp)_\w+/g, "/$1_id")
            seen.push({ request: `${message.method} ${path}`, status: result.status, answer })
            if (path.endsWith("/reversals") && seen.filter((one) => one.request.endsWith("/reversals")).length > 1) {
              // As Stripe does once it has forgotten the first one's key.
              const error = { type: "invalid_request_error", message: "The transfer has already been reversed." }
              return response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error }))
            }
            return response.writeHead(result.status, { "content-type": "application/json" }).end(answer)
          }).catch(() => response.destroy())
        })
      }).listen(0, "127.0.0.1")
    ),
    (running) => Effect.promise(() => new Promise((closed) => running.close(closed).closeAllConnections()))
  )
  if (!server.listening) yield* Effect.promise(() => once(server, "listening"))
  const address = server.address()
  return { seen, url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` }
})

describe("requests to Stripe", () => {
  it.live.skipIf(binary === undefined)(
    "are what its published API allows, every one of them",
    () =>
      Effect.gen(function*() {
        const target = yield* startMock
        const { seen, url } = yield* relay(target)
        const gateway = yield* makeStripeGateway({
          apiBase: url,
          secretKey: Redacted.make("sk_test_123"),
          webhookSecrets: [Redacted.make("whsec_test_secret")],
          returnUrl: "https://app.example.com/done"
        })
        const money = { amount: Amount.make(2_500n), currency: "USD" } as const
        const payoutId = yield* newId(PayoutId)
        const destination = {
          type: "bank",
          country: "US",
          bankCode: "110000000",
          accountNumber: "000123456789",
          accountName: "Test Account"
        } as const
        const page = { since: DateTime.makeUnsafe(1_700_000_000_000), cursor: Option.some("x_1") }
        const charge = {
          ...money,
          paymentId: yield* newId(PaymentId),
          returnUrl: Option.some("https://app.example.com/done"),
          email: Option.some("payer@example.com")
        }
        const refund = { ...money, refundId: yield* newId(RefundId), chargeReference: "cs_1" }
        // Its answers are examples that fit nothing that was asked, so only what went out is judged.
        const calls: ReadonlyArray<Effect.Effect<unknown, ProviderError>> = [
          gateway.createCharge(charge),
          gateway.retrieveCharge("cs_1"),
          gateway.cancelCharge("cs_1"),
          gateway.createRefund(refund),
          gateway.retrieveRefund("re_1"),
          gateway.createRecipient({ payoutId, destination, currency: "USD" }),
          gateway.createPayout({ ...money, payoutId, recipient: "acct_1" }),
          gateway.resumePayout({ ...money, payoutId, begun: "acct_1/tr_1" }),
          gateway.retrievePayout("acct_1/po_1"),
          gateway.retrievePayout("acct_1/po_1"),
          gateway.retrieveDispute("dp_1"),
          gateway.listCharges(page),
          gateway.listRefunds(page),
          gateway.listPayouts(page),
          gateway.listDisputes(page)
        ]
        for (const call of calls) yield* Effect.ignore(call)
        assert.deepStrictEqual(seen.filter(({ status }) => status !== 200), [])
        assert.deepStrictEqual([...new Set(seen.map(({ request }) => request))].toSorted(), [
          "GET /v1/checkout/sessions",
          "GET /v1/checkout/sessions/cs_id",
          "GET /v1/disputes",
          "GET /v1/disputes/dp_id",
          "GET /v1/payouts",
          "GET /v1/payouts/po_id",
          "GET /v1/refunds",
          "GET /v1/refunds/re_id",
          "GET /v1/transfers",
          "GET /v1/transfers/tr_id",
          "POST /v1/accounts",
          "POST /v1/checkout/sessions",
          "POST /v1/checkout/sessions/cs_id/expire",
          "POST /v1/payouts",
          "POST /v1/refunds",
          "POST /v1/tokens",
          "POST /v1/transfers",
          "POST /v1/transfers/tr_id/reversals"
        ])
      }).pipe(Effect.provide(NodeCrypto.layerMac)),
    60_000
  )

  it.live.skipIf(binary === undefined)(
    "are refused by that judge when they carry what the API does not know",
    () =>
      Effect.gen(function*() {
        const target = yield* startMock
        const status = yield* Effect.promise(() =>
          fetch(`${target}/v1/refunds`, {
            method: "POST",
            headers: { authorization: "Bearer sk_test_123", "content-type": "application/x-www-form-urlencoded" },
            body: "payment_intent=pi_1&note=no"
          }).then((answer) => answer.status)
        )
        assert.strictEqual(status, 400)
      }),
    60_000
  )
})
