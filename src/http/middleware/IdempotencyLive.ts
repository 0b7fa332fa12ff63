import { Cause, Context, Effect, Exit, Layer, Option, Predicate, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { createHash } from "node:crypto"
import { OperationId } from "../../domain/Ids.ts"
import {
  IdempotencyKeyInFlight,
  IdempotencyKeyInvalid,
  IdempotencyKeyReused,
  MoneyRequest
} from "../../domain/MoneyRequest.ts"
import { CurrentUser } from "../../domain/Principal.ts"
import { withDatabase } from "../../services/Database.ts"
import {
  type IdempotencyKeys,
  type KeyScope,
  PaymentsKeys,
  RewardsKeys,
  type StoredAnswer,
  VideoKeys
} from "../../services/IdempotencyStore.ts"
import { newId } from "../../services/NewId.ts"
import { Idempotency, KeptBy } from "./Idempotency.ts"

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
    return Effect.fnUntraced(function*(handler, { endpoint }) {
      const request = yield* HttpServerRequest.HttpServerRequest
      const { userId } = yield* CurrentUser
      const key = yield* keyOf(request.headers["idempotency-key"])
      const path = pathOf(endpoint.path, yield* HttpRouter.params)
      const scope: KeyScope = { userId, scope: `${request.method} ${path}`, key }
      const hash = sha256(canonical(yield* Effect.orDie(request.text)))
      let replayed = false
      const money = {
        userId,
        operationId: yield* newId(OperationId),
        scope: sha256(`${userId} ${scope.scope} ${key}`).toString("hex"),
        digest: hash.toString("hex"),
        replayed: Effect.sync(() => {
          replayed = true
        })
      }

      const owner = Context.get(endpoint.annotations, KeptBy)
      if (owner === "ledger") {
        const answer = yield* Effect.uninterruptible(Effect.provideService(handler, MoneyRequest, money))
        return replayed ? HttpServerResponse.setHeader(answer, ...replayedHeader) : answer
      }

      const keys = stores[owner]
      const claim = yield* withDatabase(keys.claim(scope, hash, money.operationId))
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
  })
)

/**
 * The path as the route's pattern spells it. The router takes a path in many spellings (letter case, %-escapes, repeated and
 * trailing slashes), and a key must mean the same in all of them: a proxy on the way may change the spelling of a retry.
 */
const pathOf = (pattern: string, params: Readonly<Record<string, string | undefined>>): string =>
  pattern.replace(/:(\w+)/g, (_, name: string) => params[name] ?? "")

const replayedHeader = ["idempotency-replayed", "true"] as const

const sha256 = (text: string) => createHash("sha256").update(text).digest()

const keyPattern = /^[\x21-\x7e]{1,255}$/

/** The header is an RFC 8941 string, quoted on the wire; a bare token is taken too. */
const keyOf = (header: string | undefined): Effect.Effect<string, IdempotencyKeyInvalid> => {
  const key = header === undefined ? "" : /^".*"$/.test(header) ? header.slice(1, -1) : header
  return keyPattern.test(key) ? Effect.succeed(key) : Effect.fail(
    new IdempotencyKeyInvalid({
      detail: header === undefined
        ? "Send an Idempotency-Key header: any 1 to 255 visible ASCII characters, new for each new request."
        : "The Idempotency-Key must have 1 to 255 visible ASCII characters."
    })
  )
}

const parse = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** The decoded body with its members in order: white space and the order of members do not make another request. */
const canonical = (body: string): string =>
  Option.match(parse(body), { onNone: () => body, onSome: (value) => JSON.stringify(sorted(value)) ?? "" })

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
