import { Effect, Fiber, Ref, Schema } from "effect"
import { expect } from "./Client.ts"
import { charge, type Member, paymentStatus } from "./Members.ts"
import { bar, dim, red, type Screen } from "./Screen.ts"

export interface Tally {
  readonly started: number
  readonly credited: number
  readonly failed: number
  /** How long each charge took from the request to the paid checkout, in milliseconds. */
  readonly millis: ReadonlyArray<number>
}

const Page = Schema.Struct({ items: Schema.Array(Schema.Struct({ id: Schema.String, status: Schema.String })) })

/** Below the 64 requests that one user may have in flight: on a machine that cannot keep up, the pace gives way. */
const mostAtOnce = 32

/** Charges ten times a second until told to stop, and then waits until every charge has been credited. */
export const chargeSteadily = Effect.fnUntraced(function*(
  api: string,
  member: Member,
  stop: Ref.Ref<boolean>,
  screen: Screen
) {
  const millis: Array<number> = []
  const pending = new Set<string>()
  let [started, running, credited, failed] = [0, 0, 0, 0]
  const show = () => {
    const failures = failed > 0 ? red(`, ${failed} failed`) : ""
    screen.status(`${bar(credited, started)} ${credited} of ${started} charges credited${failures} ${dim("…")}`)
  }

  const one = Effect.gen(function*() {
    const from = performance.now()
    const id = yield* charge(api, member, 1_000 + started, "NGN")
    millis.push(performance.now() - from)
    pending.add(id)
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        failed += 1
        screen.say(`    ${red("a charge failed:")} ${error.message}`)
      })
    ),
    Effect.ensuring(Effect.sync(() => {
      running -= 1
    }))
  )

  // One question about many payments: asking about each would be more traffic than the charges themselves.
  const settle = Effect.gen(function*() {
    const { body } = yield* expect(`${api}/api/payment?limit=100`, 200, Page, { token: member.token })
    const older = [...pending].filter((id) => !body.items.some((item) => item.id === id)).slice(0, 3)
    const rest = yield* Effect.forEach(
      older,
      (id) => Effect.map(paymentStatus(api, member, id), (status) => ({ id, status }))
    )
    for (const { id, status } of [...body.items, ...rest]) {
      if (status === "succeeded" && pending.delete(id)) credited += 1
    }
    show()
  })

  const poller = yield* Effect.forkChild(
    Effect.forever(Effect.andThen(Effect.ignore(settle), Effect.sleep("250 millis")))
  )
  const begin = performance.now()
  for (let i = 1; !(yield* Ref.get(stop)); i++) {
    if (running < mostAtOnce) {
      started += 1
      running += 1
      yield* Effect.forkChild(one)
    }
    // By the clock and not by pauses: a slow answer does not slow the pace down.
    const wait = begin + i * 100 - performance.now()
    if (wait > 0) yield* Effect.sleep(wait)
  }
  for (let i = 0; i < 120 && (running > 0 || pending.size > 0); i++) yield* Effect.sleep("250 millis")
  yield* Fiber.interrupt(poller)
  screen.status("")
  const tally: Tally = { started, credited, failed, millis }
  return tally
})
