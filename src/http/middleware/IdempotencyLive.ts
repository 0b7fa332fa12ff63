import { Cause, Clock, Context, Effect, Exit, Layer, Option, Predicate, type Types } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { hash } from "node:crypto"
import { OperationId } from "../../domain/Ids.ts"
import {
  IdempotencyKeyInFlight,
  IdempotencyKeyInvalid,
  IdempotencyKeyReused,
  MoneyRequest
} from "../../domain/MoneyRequest.ts"
import { CurrentUser } from "../../domain/Principal.ts"
import type { Unavailable } from "../../domain/Problem.ts"
import { withDatabase } from "../../services/Database.ts"
import {
  type IdempotencyKeys,
  type KeyScope,
  PaymentsKeys,
  RewardsKeys,
  type StoredAnswer,
  VideoKeys
} from "../../services/IdempotencyStore.ts"
import { uuidV7 } from "../../services/NewId.ts"
import { Idempotency, KeptBy } from "./Idempotency.ts"

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled, MoneyRequest>
type Answer = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Types.unhandled | IdempotencyKeyInvalid | IdempotencyKeyReused | IdempotencyKeyInFlight | Unavailable
>
type Around = HttpServerRequest.HttpServerRequest | HttpRouter.RouteContext | CurrentUser

/**
 * The Idempotency-Key contract (docs/adr/0011). A key is claimed before the handler runs and keeps the first answer
 * that wrote something; where the ledger keeps it, claim, posting and answer are one and the same row. Handler and bookkeeping are uninterruptible: a caller that hangs up does not take its transfer along.
 */
export const IdempotencyLive = Layer.effect(
  Idempotency,
  Effect.gen(function*() {
    const stores = {
      payments: yield* PaymentsKeys,
      rewards: yield* RewardsKeys,
      video: yield* VideoKeys
    }

    const kept = Effect.fnUntraced(function*(
      keys: IdempotencyKeys,
      handler: Handler,
      { key, money, route }: { readonly key: string; readonly money: MoneyRequest; readonly route: string }
    ) {
      const scope: KeyScope = { userId: money.userId, scope: route, key }
      const claim = yield* withDatabase(keys.claim(scope, Buffer.from(money.digest, "hex"), money.operationId))
      switch (claim._tag) {
        case "Answered":
          return replay(claim.answer)
        case "Reused":
          return yield* new IdempotencyKeyReused({ detail: "Take a new key for a new request." })
        case "InFlight":
          return yield* new IdempotencyKeyInFlight({ detail: "Repeat the request in a second.", retry_after: 1 })
        case "Claimed":
          return yield* Effect.uninterruptible(
            handler.pipe(
              Effect.provideService(MoneyRequest, { ...money, operationId: claim.operationId }),
              Effect.onExit((exit) => settle(keys, scope, exit))
            )
          )
      }
    })

    return (handler, { endpoint }) => {
      const owner = Context.get(endpoint.annotations, KeptBy)
      return Effect.contextWith((context: Context.Context<Around>): Answer => {
        const clock = Context.get(context, Clock.Clock)
        const request = Context.get(context, HttpServerRequest.HttpServerRequest)
        const { userId } = Context.get(context, CurrentUser)
        const header = request.headers["idempotency-key"]
        const key = keyOf(header)
        if (key === undefined) return keyInvalid(header)
        const { params } = Context.get(context, HttpRouter.RouteContext)
        const route = `${request.method} ${pathOf(endpoint.path, params)}`
        return Effect.flatMap(Effect.orDie(request.text), (body) => {
          let replayed = false
          const money: MoneyRequest = {
            userId,
            operationId: OperationId.make(uuidV7(clock.currentTimeMillisUnsafe())),
            scope: hash("sha256", `${userId} ${route} ${key}`),
            digest: hash("sha256", canonical(body)),
            replayed: Effect.sync(() => {
              replayed = true
            })
          }
          if (owner !== "ledger") return kept(stores[owner], handler, { key, money, route })
          return Effect.map(
            Effect.uninterruptible(Effect.provideService(handler, MoneyRequest, money)),
            (answer) => replayed ? HttpServerResponse.setHeader(answer, ...replayedHeader) : answer
          )
        })
      })
    }
  })
)

/**
 * The path as the route's pattern spells it. The router takes a path with letters spelt as %-escapes too, and a key
 * must mean the same in both: a proxy on the way may change the spelling of a retry.
 */
const pathOf = (pattern: string, params: Readonly<Record<string, string | undefined>>): string =>
  pattern.replace(/:(\w+)/g, (_, name: string) => params[name] ?? "")

const replayedHeader = ["idempotency-replayed", "true"] as const

const keyPattern = /^[\x21-\x7e]{1,255}$/

/** The header is an RFC 8941 string, quoted on the wire; a bare token is taken too. */
const keyOf = (header: string | undefined): string | undefined => {
  const key = header === undefined ? "" : /^".*"$/.test(header) ? header.slice(1, -1) : header
  return keyPattern.test(key) ? key : undefined
}

const keyInvalid = (header: string | undefined) =>
  Effect.fail(
    new IdempotencyKeyInvalid({
      detail: header === undefined
        ? "Send an Idempotency-Key header: any 1 to 255 visible ASCII characters, new for each new request."
        : "The Idempotency-Key must have 1 to 255 visible ASCII characters."
    })
  )

/** The decoded body with its members in order: white space and the order of members do not make another request. */
const canonical = (body: string): string => {
  try {
    return JSON.stringify(sorted(JSON.parse(body))) ?? ""
  } catch {
    return body
  }
}

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).toSorted(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => [k, sorted(v)])
  )
}

const replay = ({ body, location, status }: StoredAnswer) =>
  HttpServerResponse.text(body, {
    status,
    contentType: "application/json",
    headers: {
      [replayedHeader[0]]: replayedHeader[1],
      ...Option.match(location, { onNone: () => ({}), onSome: (location) => ({ location }) })
    }
  })

/** What becomes of the key when the handler is done. Only an answer that says something was written is kept. */
const settle = (
  keys: IdempotencyKeys,
  scope: KeyScope,
  exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>
) =>
  Effect.suspend(() => {
    if (Exit.isFailure(exit)) return wasRefused(exit.cause) ? keys.forget(scope) : keys.leave(scope)
    const { body, headers, status } = exit.value
    if (status < 200 || status > 299) return keys.forget(scope)
    const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
    return keys.answer(scope, { status, body: text, location: Option.fromUndefinedOr(headers["location"]) })
  }).pipe(
    withDatabase,
    // The answer stands whatever happens here: the claim runs out, and a retry finds what was done under its operation id.
    Effect.catch((error) => Effect.logWarning("an idempotency key could not be settled", error))
  )

/** Refused before anything was written: a typed problem below 500, or an input that did not decode. */
const wasRefused = (cause: Cause.Cause<unknown>): boolean => {
  const [reason, ...more] = cause.reasons
  if (reason === undefined || more.length > 0 || !Cause.isFailReason(reason)) return false
  if (HttpApiError.HttpApiSchemaError.is(reason.error)) return true
  return Predicate.hasProperty(reason.error, "status") && Number(reason.error.status) < 500
}
