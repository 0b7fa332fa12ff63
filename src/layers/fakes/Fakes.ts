import { Context, Effect, Layer } from "effect"
import { type Fake, type RunningFake, startFake } from "./FakeServer.ts"
import { paystackFake } from "./PaystackFake.ts"
import { stripeFake } from "./StripeFake.ts"
import { allWell, Faults, type Switches } from "./Switches.ts"

export interface FakesOptions {
  readonly host: string
  readonly stripe: {
    readonly port: number
    readonly secretKey: string
    readonly webhookSecret: string
    readonly connectWebhookSecret?: string
    readonly webhookUrl: string | undefined
  }
  readonly paystack: {
    readonly port: number
    readonly secretKey: string
    readonly webhookUrl: string | undefined
    readonly otp?: boolean
  }
  readonly switches?: Partial<Switches>
}

/** Stripe and Paystack as Midnight uses them, each on a port of its own, with everything that can go wrong at a switch. */
export class Fakes extends Context.Service<Fakes, {
  readonly stripe: RunningFake<ReturnType<typeof stripeFake>>
  readonly paystack: RunningFake<ReturnType<typeof paystackFake>>
}>()("midnight/layers/Fakes") {
  static readonly layer = (options: FakesOptions) =>
    Layer.effect(
      Fakes,
      Effect.gen(function*() {
        const switches = { ...allWell, ...options.switches }
        const serve = <F extends Fake>(fake: F, port: number) =>
          Effect.acquireRelease(
            Effect.promise(() => startFake(fake, { host: options.host, port })),
            (running) => Effect.promise(() => running.close())
          )
        return {
          stripe: yield* serve(stripeFake(options.stripe, new Faults(switches)), options.stripe.port),
          paystack: yield* serve(paystackFake(options.paystack, new Faults(switches)), options.paystack.port)
        }
      })
    )
}
