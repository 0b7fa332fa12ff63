import { Config, Console, Effect, Layer } from "effect"
import { parseArgs } from "node:util"
import { Fakes, type FakesOptions } from "../layers/fakes/Fakes.ts"
import { runCommand } from "../layers/ProcessMain.ts"

const help = `npm run fakes: Stripe's and Paystack's APIs, as far as Midnight uses them, on this machine.

Environment, with defaults:
  STRIPE_FAKE_PORT=3011              PAYSTACK_FAKE_PORT=3012
  STRIPE_SECRET_KEY=sk_test_fake     PAYSTACK_SECRET_KEY=sk_test_fake
  STRIPE_WEBHOOK_SECRET=whsec_fake
  FAKES_WEBHOOK_BASE=http://127.0.0.1:3000   where events go: /api/webhooks/stripe, /api/webhooks/paystack

Start Midnight with the same secrets and
  STRIPE_API_BASE=http://127.0.0.1:3011  PAYSTACK_API_BASE=http://127.0.0.1:3012

On each port:
  GET  /_fake/switches     what goes wrong, and how often (0 never, 1 always)
  PUT  /_fake/switches     {"hang": 0.1, "webhookDuplicate": 1, "seed": 7}
  PUT  /_fake/trouble      {"route": "POST /v1/payouts", "status": 500, "times": 3} fails it so often
  POST /_fake/forget       Stripe's idempotency keys, as after a day
  GET  /_fake/calls        every call of the API      GET  /_fake/events    every event
  PUT  /_fake/webhook      {"url": "http://..."} where its events go; null: nowhere
  POST /_fake/redeliver    send every event again
  POST /_fake/settle       {"kind": "refund" | "payout" | "dispute", "id": "...", "outcome": "..."}
    payout    Stripe po_...: paid, in_transit, failed     Paystack reference: success, failed, reversed
    refund    Stripe re_...: failed                       Paystack id: processing, processed, failed, needs-attention
    dispute   a session's or transaction's id: opened     a dispute's id: won, lost
The checkout of a charge is its nextAction.url; POST {"outcome": "succeed" | "fail" | "abandon"} to it to play the payer.`

const text = (name: string, fallback: string) => Config.NonEmptyString(name).pipe(Config.withDefault(fallback))
const port = (name: string, fallback: number) => Config.Port(name).pipe(Config.withDefault(fallback))

const serve = Effect.gen(function*() {
  const base = yield* text("FAKES_WEBHOOK_BASE", "http://127.0.0.1:3000")
  const options: FakesOptions = {
    host: "127.0.0.1",
    stripe: {
      port: yield* port("STRIPE_FAKE_PORT", 3011),
      secretKey: yield* text("STRIPE_SECRET_KEY", "sk_test_fake"),
      webhookSecret: yield* text("STRIPE_WEBHOOK_SECRET", "whsec_fake"),
      webhookUrl: `${base}/api/webhooks/stripe`
    },
    paystack: {
      port: yield* port("PAYSTACK_FAKE_PORT", 3012),
      secretKey: yield* text("PAYSTACK_SECRET_KEY", "sk_test_fake"),
      webhookUrl: `${base}/api/webhooks/paystack`
    },
    switches: { settleAfterMillis: 1_000 }
  }
  const announced = Effect.flatMap(
    Fakes,
    ({ paystack, stripe }) =>
      Console.log(`Stripe's fake    ${stripe.url}\nPaystack's fake  ${paystack.url}\nEvents go to     ${base}`)
  )
  return yield* Layer.launch(Layer.effectDiscard(announced).pipe(Layer.provide(Fakes.layer(options))))
})

const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" } } })
runCommand("fakes", values.help === true ? Console.log(help) : serve)
