import { Context, DateTime, Effect, Layer, Option, type Redacted } from "effect"
import { type UserId, WebhookEndpointId } from "../domain/Ids.ts"
import { cursorOf, cut, PositionNumber } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Forbidden, type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import type { DeliveryState, WebhookDelivery, WebhookEventId } from "../domain/WebhookDeliveries.ts"
import {
  endpointView,
  mostEndpoints,
  overlap,
  type WebhookEndpoint,
  type WebhookEndpointChange,
  WebhookEndpointDisabled,
  WebhookEndpointLimit,
  type WebhookEndpointRequest,
  type WebhookEndpointView,
  type WebhookEndpointWithSecret,
  WebhookUrlNotAllowed
} from "../domain/WebhookEndpoints.ts"
import { withDatabase } from "./Database.ts"
import { newId } from "./NewId.ts"
import { Sealed } from "./Sealed.ts"
import { refusalOf } from "./WebhookAddresses.ts"
import { WebhookSettings } from "./WebhookCourier.ts"
import { WebhookEndpointStore } from "./WebhookEndpointStore.ts"
import { type DeliveryRow, WebhookLogStore } from "./WebhookLogStore.ts"
import { freshSecret, shown } from "./WebhookSignature.ts"

interface Page {
  readonly cursor: string | undefined
  readonly limit: number
}
interface Listed<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}

const position = cursorOf(WebhookEndpointId)
const logPosition = cursorOf(PositionNumber)

/** Where an endpoint's secret belongs: sealed for one, it opens for no other. */
export const secretPlace = (id: WebhookEndpointId): string => `webhook-endpoint:${id}`

const deliveryView = ({ seq: _, ...row }: DeliveryRow): WebhookDelivery => row

/** Webhook endpoints of whoever is signed in, and the log of what was delivered to them. */
export class WebhookEndpoints extends Context.Service<WebhookEndpoints, {
  create(
    request: WebhookEndpointRequest
  ): Effect.Effect<
    WebhookEndpointWithSecret,
    WebhookUrlNotAllowed | WebhookEndpointLimit | Forbidden | Unavailable,
    CurrentUser
  >
  list(page: Page): Effect.Effect<Listed<WebhookEndpointView>, InvalidRequest | Unavailable, CurrentUser>
  find(id: WebhookEndpointId): Effect.Effect<WebhookEndpointView, NotFound | Unavailable, CurrentUser>
  edit(
    id: WebhookEndpointId,
    change: WebhookEndpointChange
  ): Effect.Effect<WebhookEndpointView, WebhookUrlNotAllowed | NotFound | Unavailable, CurrentUser>
  /** A new secret; the one before signs too for a day. */
  rotate(id: WebhookEndpointId): Effect.Effect<WebhookEndpointWithSecret, NotFound | Unavailable, CurrentUser>
  remove(id: WebhookEndpointId): Effect.Effect<void, NotFound | Unavailable, CurrentUser>
  /** Of an account that is about to be erased. */
  forget(userId: UserId): Effect.Effect<void, Unavailable>
  deliveries(
    id: WebhookEndpointId,
    page: Page & { readonly state: DeliveryState | undefined }
  ): Effect.Effect<Listed<WebhookDelivery>, InvalidRequest | NotFound | Unavailable, CurrentUser>
  redeliver(
    id: WebhookEndpointId,
    eventId: WebhookEventId
  ): Effect.Effect<WebhookDelivery, NotFound | WebhookEndpointDisabled | Unavailable, CurrentUser>
}>()("midnight/services/webhooks/WebhookEndpoints") {
  static readonly layer = Layer.effect(WebhookEndpoints, Effect.suspend(() => make))
}

const absent = new NotFound({ detail: "There is no such webhook endpoint." })

const make = Effect.gen(function*() {
  const store = yield* WebhookEndpointStore
  const log = yield* WebhookLogStore
  const sealed = yield* Sealed
  const { allowPrivate } = yield* WebhookSettings

  const acceptUrl = (url: string) => {
    const refusal = refusalOf(new URL(url), allowPrivate)
    return refusal === undefined ? Effect.void : Effect.fail(new WebhookUrlNotAllowed({ detail: refusal }))
  }
  const own = Effect.fnUntraced(function*(id: WebhookEndpointId) {
    const { userId } = yield* CurrentUser
    const found = yield* withDatabase(store.find(userId, id))
    return Option.isSome(found) ? found.value : yield* absent
  })
  const present = (found: Option.Option<WebhookEndpoint>) =>
    Option.isSome(found) ? Effect.succeed(found.value) : Effect.fail(absent)
  const withSecret = (row: WebhookEndpoint, secret: Redacted.Redacted<string>): WebhookEndpointWithSecret => ({
    ...endpointView(row),
    secret: shown(secret)
  })

  const create = Effect.fn("WebhookEndpoints.create")(function*(request: WebhookEndpointRequest) {
    const { roles, userId } = yield* CurrentUser
    const { description, events = ["*"], scope = "own", url } = request
    if (scope === "all" && !roles.includes("admin")) {
      return yield* new Forbidden({ detail: "Only administrators are told of what concerns others." })
    }
    yield* acceptUrl(url)
    const id = yield* newId(WebhookEndpointId)
    const secret = freshSecret()
    const endpoint = {
      id,
      userId,
      scope,
      url,
      events,
      description: Option.fromUndefinedOr(description),
      secret: yield* sealed.seal(secret, secretPlace(id))
    }
    // Of several requests at once each round lets one through, so after so many there is no place left.
    for (let round = 0; round < mostEndpoints; round++) {
      const made = yield* withDatabase(store.insert(endpoint, yield* DateTime.now))
      if (Option.isSome(made)) return withSecret(made.value, secret)
    }
    return yield* new WebhookEndpointLimit({ limit: mostEndpoints })
  })

  const list = Effect.fn("WebhookEndpoints.list")(function*({ cursor, limit }: Page) {
    const { userId } = yield* CurrentUser
    const before = yield* position.decode(cursor)
    const rows = yield* withDatabase(store.list({ userId, before, limit: limit + 1 }))
    const page = yield* cut(rows, limit, (last) => position.encode(last.id))
    return { ...page, items: page.items.map(endpointView) }
  })

  const edit = Effect.fn("WebhookEndpoints.edit")(function*(id: WebhookEndpointId, change: WebhookEndpointChange) {
    const row = yield* own(id)
    if (change.url !== undefined) yield* acceptUrl(change.url)
    const status = change.status ?? row.status
    const edited = yield* withDatabase(store.edit({
      ...row,
      url: change.url ?? row.url,
      events: change.events ?? row.events,
      description: change.description === undefined ? row.description : Option.some(change.description),
      status,
      disabledReason: status === "enabled"
        ? Option.none()
        : Option.orElse(row.disabledReason, () => Option.some("by_user" as const))
    }, yield* DateTime.now))
    return endpointView(yield* present(edited))
  })

  const rotate = Effect.fn("WebhookEndpoints.rotate")(function*(id: WebhookEndpointId) {
    const row = yield* own(id)
    const secret = freshSecret()
    const until = DateTime.add(yield* DateTime.now, overlap)
    const rotated = yield* withDatabase(store.rotate(row, yield* sealed.seal(secret, secretPlace(id)), until))
    return withSecret(yield* present(rotated), secret)
  })

  const remove = Effect.fn("WebhookEndpoints.remove")(function*(id: WebhookEndpointId) {
    const { userId } = yield* CurrentUser
    if (!(yield* withDatabase(store.remove(userId, id, yield* DateTime.now)))) return yield* absent
  })

  const deliveries: WebhookEndpoints["Service"]["deliveries"] = Effect.fn("WebhookEndpoints.deliveries")(
    function*(id, { cursor, limit, state }) {
      const { id: endpointId } = yield* own(id)
      const before = yield* logPosition.decode(cursor)
      const rows = yield* withDatabase(log.list({ endpointId, state, before, limit: limit + 1 }))
      const page = yield* cut(rows, limit, (last) => logPosition.encode(last.seq))
      return { ...page, items: page.items.map(deliveryView) }
    }
  )

  const redeliver: WebhookEndpoints["Service"]["redeliver"] = Effect.fn("WebhookEndpoints.redeliver")(
    function*(id, eventId) {
      const row = yield* own(id)
      if (Option.isSome(row.disabledReason)) {
        return yield* new WebhookEndpointDisabled({
          disabled_reason: row.disabledReason.value,
          detail: "Enable it first."
        })
      }
      const again = yield* withDatabase(log.redeliver(id, eventId, yield* DateTime.now))
      if (Option.isNone(again)) return yield* new NotFound({ detail: "That event was not sent there." })
      return deliveryView(again.value)
    }
  )

  return WebhookEndpoints.of({
    create,
    list,
    find: Effect.fn("WebhookEndpoints.find")((id: WebhookEndpointId) => Effect.map(own(id), endpointView)),
    edit,
    rotate,
    remove,
    forget: Effect.fn("WebhookEndpoints.forget")((userId: UserId) =>
      Effect.flatMap(DateTime.now, (now) => withDatabase(store.forget(userId, now)))
    ),
    deliveries,
    redeliver
  })
})
