import { Effect, Ref } from "effect"
import { charge, type Member, paymentStatus, until } from "./Members.ts"
import { bar, dim, type Screen } from "./Screen.ts"

export interface Tally {
  readonly started: number
  readonly credited: number
  readonly failed: number
  /** How long each charge took to be answered. */
  readonly millis: ReadonlyArray<number>
}

/** Charges ten times a second until told to stop, and then waits until every charge has been credited. */
export const chargeSteadily = Effect.fnUntraced(function*(
  api: string,
  member: Member,
  stop: Ref.Ref<boolean>,
  screen: Screen
) {
  const millis: Array<number> = []
  let started = 0
  let credited = 0
  let failed = 0
  const show = () =>
    screen.status(`${bar(credited, started)} ${credited} of ${started} charges credited${failed > 0 ? `, ${failed} failed` : ""} ${dim("…")}`)

  const one = Effect.gen(function*() {
    started += 1
    const from = performance.now()
    const id = yield* charge(api, member, 1_000 + started, "NGN")
    millis.push(performance.now() - from)
    yield* until(`The credit of payment ${id}`, paymentStatus(api, member, id), (s) => s === "succeeded", 30)
    credited += 1
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        failed += 1
        screen.say(`    a charge failed: ${error.message}`)
      })
    ),
    Effect.ensuring(Effect.sync(show))
  )

  yield* Effect.scoped(
    Effect.gen(function*() {
      const begin = performance.now()
      for (let i = 1; !(yield* Ref.get(stop)); i++) {
        yield* Effect.forkScoped(one)
        // By the clock and not by pauses: a slow answer does not slow the pace down.
        const wait = begin + i * 100 - performance.now()
        if (wait > 0) yield* Effect.sleep(wait)
      }
      yield* until("The last credits", Effect.sync(() => started - credited - failed), (open) => open === 0, 40)
    })
  )
  screen.status("")
  return { started, credited, failed, millis } satisfies Tally
})
