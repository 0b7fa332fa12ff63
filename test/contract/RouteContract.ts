import { Context, Effect, Layer } from "effect"
import type { HttpServer } from "effect/http"
import { randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import type { Role } from "../../src/domain/Principal.ts"
import type { Identity } from "../../src/services/Identity.ts"
import type { Ledger } from "../../src/services/Ledger.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { ApiTest, type Call, give, type Member, register } from "../layers/ApiTest.ts"
import type { PgTest } from "../layers/PgTest.ts"
import type { Sandbox } from "../layers/sandbox.ts"

/** Who takes part: two members that know nothing of one another, a sponsor and an administrator. All have money. */
export class Cast extends Context.Service<Cast, {
  readonly alice: Member
  readonly bob: Member
  readonly sponsor: Member
  readonly admin: Member
}>()("midnight/test/Cast") {
  static readonly layer = Layer.effect(
    Cast,
    Effect.gen(function*() {
      const people = [register(), register(), register("sponsor"), register("admin")] as const
      const [alice, bob, sponsor, admin] = yield* Effect.all(people)
      for (const { id } of [alice, bob, sponsor, admin]) yield* give(id, 100_000_000)
      return { alice, bob, sponsor, admin }
    })
  )
}

export type World = ApiTest | Cast | HttpServer.HttpServer | Identity | Ledger | PgTest | Sandbox

/** What one route promises. Every test of the contract is made from it, so a route without one of these is noticed. */
export interface RouteContract {
  /** The promised status of a good request. */
  readonly status: number
  /** Marked with a dot in the list of routes: needs a bearer token. */
  readonly signedIn: boolean
  /** Marked (key): needs Idempotency-Key. */
  readonly keyed: boolean
  /** The members of the answer, by the path of the object that has them; `?` marks one that may be absent. */
  readonly shape: Readonly<Record<string, ReadonlyArray<string>>>
  /** A good request that was never sent before, and whatever has to exist for it. */
  readonly attempt: Effect.Effect<Omit<Call, "method">, unknown, World>
  /** The same through the typed client, which must find what it expects. */
  readonly typed: Effect.Effect<unknown, unknown, World>
  /** Parts of the body that are wrong, and where the answer must say so. */
  readonly wrong?: ReadonlyArray<readonly [part: Readonly<Record<string, unknown>>, pointer: string]>
  /** Queries that are wrong, and where the answer must say so. */
  readonly wrongQuery?: ReadonlyArray<readonly [query: string, pointer: string]>
  /** The path names something that belongs to the caller alone. */
  readonly owned?: boolean
  /** Without this role it is 403. */
  readonly role?: Role
  /** Counts what a keyed request makes. */
  readonly counted?: string
  /** What makes another good body of the good one; a route without a body has none. */
  readonly other?: Readonly<Record<string, unknown>>
}

/** `POST /api/payment/charge`, with parameters as the contract writes them: `/api/payment/:id`. */
export type Contracts = Readonly<Record<string, RouteContract>>

/** What the engine below is unsure of. */
const unsure = "a letter that somebody should look at"
/** Another one each time: the same would be refused as seen before. */
export const unsureLetter = () => new TextEncoder().encode(`${unsure}, ${randomUUID()}`)

/** An engine that refuses whatever it is given, at once, or is unsure: no contract here is about what is in a video. */
export const refusingEngine = Layer.succeed(MediaEngine, {
  guards: [],
  analyse: ({ path }) =>
    Effect.map(Effect.promise(() => readFile(path)), (bytes) => ({
      findings: { _tag: bytes.toString().startsWith(unsure) ? "TooCostly" : "NotAVideo", detail: "a test's letter" },
      cpuSeconds: 0,
      peakBytes: 0
    }))
})

/** The whole server and its cast, for a file of contract tests. */
export const Ground = Cast.layer.pipe(Layer.provideMerge(ApiTest.layer(refusingEngine)))

export const problemMembers = ["type", "title", "status", "detail", "instance", "code", "request_id", "trace_id"]
