import { Effect, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { call, expect, newKey, Unexpected } from "./Client.ts"

const Users = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ role: Schema.String, email: Schema.String, password: Schema.String }))
)

/** Who `npm start` created, from `demo.json`. */
export const demoUsers = (home: string) =>
  Effect.tryPromise({
    try: () => readFile(join(home, "demo.json"), "utf8"),
    catch: () =>
      new Unexpected({
        message:
          `There is no ${join(home, "demo.json")}. Start Midnight with \`npm start\` first, in another terminal; `
          + "when it runs elsewhere, set MIDNIGHT_HOME to its home."
      })
  }).pipe(
    Effect.flatMap(Schema.decodeEffect(Users)),
    Effect.mapError((error) => error instanceof Unexpected ? error : new Unexpected({ message: error.message }))
  )

const SignedIn = Schema.Struct({
  user: Schema.Struct({ id: Schema.String }),
  tokens: Schema.Struct({ accessToken: Schema.String })
})

export interface Member {
  readonly id: string
  readonly token: string
}

export const signIn = (api: string, user: { readonly email: string; readonly password: string }) =>
  Effect.map(
    expect(`${api}/api/auth/login`, 200, SignedIn, { json: { email: user.email, password: user.password } }),
    ({ body }): Member => ({ id: body.user.id, token: body.tokens.accessToken })
  )

const Payment = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  nextAction: Schema.optionalKey(Schema.Struct({ url: Schema.String }))
})

/** Charges, and pays at the checkout as a person would. The credit follows by the provider's webhook. */
export const charge = (api: string, member: Member, amount: number, currency: string) =>
  Effect.gen(function*() {
    const { body } = yield* expect(`${api}/api/payment/charge`, 201, Payment, {
      token: member.token,
      key: newKey(),
      json: { amount, currency }
    })
    const url = body.nextAction?.url
    if (url === undefined) return yield* new Unexpected({ message: `Payment ${body.id} has no checkout.` })
    const paid = yield* call(url, { json: { outcome: "succeed" } })
    if (paid.status >= 300) return yield* new Unexpected({ message: `The checkout ${url} answered ${paid.status}.` })
    return body.id
  })

export const paymentStatus = (api: string, member: Member, id: string) =>
  Effect.map(expect(`${api}/api/payment/${id}`, 200, Payment, { token: member.token }), ({ body }) => body.status)

const Wallets = Schema.Struct({
  wallets: Schema.Array(Schema.Struct({ currency: Schema.String, balance: Schema.Int, available: Schema.Int }))
})

export const available = (api: string, member: Member, currency: string) =>
  Effect.map(
    expect(`${api}/api/wallet`, 200, Wallets, { token: member.token }),
    ({ body }) => body.wallets.find((wallet) => wallet.currency === currency)?.available ?? 0
  )

/** Waits for a state that follows by itself, asking every 100 ms. */
export const until = <A, R>(
  what: string,
  ask: Effect.Effect<A, Unexpected, R>,
  good: (answer: A) => boolean,
  seconds = 60
): Effect.Effect<A, Unexpected, R> =>
  Effect.gen(function*() {
    for (let i = 0; i < seconds * 10; i++) {
      const answer = yield* ask
      if (good(answer)) return answer
      yield* Effect.sleep("100 millis")
    }
    return yield* new Unexpected({ message: `${what} did not happen within ${seconds} s.` })
  })

const Campaign = Schema.Struct({ id: Schema.String, status: Schema.String, slotsLeft: Schema.Int })

/** A funded, active campaign of the sponsor: charge, create, fund, activate. */
export const openCampaign = Effect.fnUntraced(function*(
  api: string,
  sponsor: Member,
  terms: {
    readonly title: string
    readonly brief: string
    readonly reward: number
    readonly slots: number
    readonly perMember: number
  }
) {
  const currency = "NGN"
  const total = terms.reward * terms.slots
  const before = yield* available(api, sponsor, currency)
  yield* charge(api, sponsor, total, currency)
  yield* until("The sponsor's charge", available(api, sponsor, currency), (now) => now >= before + total)
  const { reward, ...rest } = terms
  const { body } = yield* expect(`${api}/api/campaigns`, 201, Campaign, {
    token: sponsor.token,
    json: { ...rest, reward: { amount: reward, currency } }
  })
  const act = (name: string, json: unknown) =>
    expect(`${api}/api/campaigns/${body.id}/${name}`, 200, Campaign, {
      token: sponsor.token,
      key: newKey(),
      method: "POST",
      ...(json === undefined ? {} : { json })
    })
  yield* act("fund", { amount: total, currency })
  yield* act("activate", undefined)
  return body.id
})
