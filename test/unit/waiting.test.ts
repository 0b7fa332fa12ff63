import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { TestClock } from "effect/testing"
import { Unavailable } from "../../src/domain/Problem.ts"
import { CurrentRequest } from "../../src/domain/Request.ts"
import { Admission } from "../../src/http/middleware/Admission.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { withDatabase } from "../../src/services/Database.ts"
import { gathered } from "../../src/services/Gathered.ts"

const one = { places: 1, waiting: 9 }

it.effect("answers after four seconds, also where the statement does not let itself be cancelled", () =>
  Effect.gen(function*() {
    const stubborn = Effect.onInterrupt(Effect.never, () => Effect.never)
    const caller = yield* Effect.forkChild(Effect.flip(withDatabase(stubborn)), { startImmediately: true })
    yield* TestClock.adjust("3999 millis")
    assert.isUndefined(caller.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    assert.instanceOf(yield* Fiber.join(caller), Unavailable)
  }))

const asked = (endsAt: number) => Effect.provideService(CurrentRequest, { id: "asked", endsAt })

it.effect("gives a statement no more than its request has left, and a moment where that is nothing", () =>
  Effect.gen(function*() {
    const waiting = (endsAt: number) =>
      Effect.forkChild(Effect.flip(withDatabase(Effect.never)).pipe(asked(endsAt)), { startImmediately: true })
    const callers = [yield* waiting(1_500), yield* waiting(-20_000), yield* waiting(60_000)]
    const done = () => callers.map((caller) => caller.pollUnsafe() !== undefined)
    yield* TestClock.adjust("499 millis")
    assert.deepStrictEqual(done(), [false, false, false])
    yield* TestClock.adjust("1 millis")
    assert.deepStrictEqual(done(), [false, true, false])
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(done(), [true, true, false])
    yield* TestClock.adjust("2500 millis")
    assert.deepStrictEqual(done(), [true, true, true])
  }))

const reads = HttpApi.make("api").add(
  HttpApiGroup.make("reads").add(HttpApiEndpoint.get("read", "/read"))
)

it.effect("does nothing for a request whose place comes after its time", () =>
  Effect.gen(function*() {
    const admission = yield* Admission
    const open = yield* Deferred.make<void>()
    let done = 0
    const work = Effect.andThen(Deferred.await(open), Effect.sync(() => done += 1))
    const admitted: Array<ReturnType<typeof admission>> = []
    HttpApi.reflect(reads, {
      onGroup: () => {},
      onEndpoint: (route) => void admitted.push(admission(Effect.as(work, HttpServerResponse.empty()), route))
    })
    const asking = (endsAt: number) =>
      Effect.forkChild(Effect.result(Effect.all(admitted)).pipe(asked(endsAt)), { startImmediately: true })
    const [first, second, third] = [yield* asking(1_000), yield* asking(1_000), yield* asking(5_000)]
    yield* TestClock.adjust("1001 millis")
    yield* Deferred.succeed(open, undefined)
    assert.strictEqual((yield* Fiber.join(first))._tag, "Success")
    const late = yield* Fiber.join(second)
    assert.instanceOf(late._tag === "Failure" && late.failure, Unavailable)
    assert.strictEqual((yield* Fiber.join(third))._tag, "Success")
    assert.strictEqual(done, 2)
  }).pipe(
    Effect.provide(AdmissionLive({ payments: one, auth: one, reads: one, video: one })),
    Effect.provideService(
      HttpServerRequest.HttpServerRequest,
      HttpServerRequest.fromWeb(new Request("http://localhost/read"))
    ),
    Effect.provideService(HttpServerRequest.ParsedSearchParams, {}),
    Effect.provideService(HttpRouter.RouteContext, {
      params: {},
      route: HttpRouter.route("GET", "/read", Effect.never)
    })
  ))

it.effect("gives a question that many ask the time of nobody", () =>
  Effect.gen(function*() {
    const ask = yield* gathered((keys: ReadonlyArray<string>) =>
      Effect.map(CurrentRequest, ({ endsAt }) => new Map(keys.map((key) => [key, endsAt])))
    )
    assert.deepStrictEqual(yield* ask("key").pipe(asked(5)), Option.some(Number.POSITIVE_INFINITY))
  }).pipe(Effect.scoped))

it.effect("gives up the work of a caller that has gone", () =>
  Effect.gen(function*() {
    let ended = false
    const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended = true))
    const caller = yield* Effect.forkChild(withDatabase(work), { startImmediately: true })
    yield* Fiber.interrupt(caller)
    assert.isTrue(ended)
  }))

it.effect("turns questions away that wait behind a query without an end, and answers those that come after it", () =>
  Effect.gen(function*() {
    let queries = 0
    const ask = yield* gathered((keys: ReadonlyArray<string>) => {
      queries += 1
      const answers = Effect.succeed(new Map(keys.map((key) => [key, `${key} of query ${queries}`])))
      return queries === 1 ? Effect.delay(answers, "3 seconds") : answers
    })
    const asking = (key: string) => Effect.forkChild(Effect.result(ask(key)), { startImmediately: true })
    const first = yield* asking("first")
    yield* TestClock.adjust("1 millis")
    const second = yield* asking("second")
    yield* TestClock.adjust("1 second")
    const refused = yield* Fiber.join(second)
    assert.instanceOf(refused._tag === "Failure" && refused.failure, Unavailable)
    const third = yield* asking("third")
    yield* TestClock.adjust("2 seconds")
    const answers = [yield* Fiber.join(first), yield* asking("fourth").pipe(Effect.flatMap(Fiber.join))]
    assert.deepStrictEqual(answers.map((it) => it._tag === "Success" ? Option.getOrNull(it.success) : it.failure), [
      "first of query 1",
      "fourth of query 2"
    ])
    assert.strictEqual((yield* Fiber.join(third))._tag, "Failure")
  }).pipe(Effect.scoped))
