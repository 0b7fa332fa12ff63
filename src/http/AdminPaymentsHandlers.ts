import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Flags } from "../services/Flags.ts"
import { Payouts } from "../services/Payouts.ts"
import { Reconciliation } from "../services/Reconciliation.ts"
import { Webhooks } from "../services/Webhooks.ts"
import { Api } from "./Api.ts"

const defaultHours = 48

export const AdminPaymentsHandlers = HttpApiBuilder.group(
  Api,
  "adminPayments",
  Effect.fn(function*(handlers) {
    const payouts = yield* Payouts
    const flags = yield* Flags
    const reconciliation = yield* Reconciliation
    const inbox = yield* Webhooks
    return handlers.handleAll({
      payouts: ({ query: { cursor, limit, status } }) =>
        payouts.inStatus(status ?? "pending_approval", { cursor, limit: limit ?? defaultLimit }),
      approve: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, ({ userId }) => payouts.approve(params.id, userId, payload.reason)),
      reject: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, ({ userId }) => payouts.reject(params.id, userId, payload.reason)),
      flagged: ({ query: { cursor, kind, limit } }) =>
        flags.list(kind ?? "charge", { cursor, limit: limit ?? defaultLimit }),
      look: ({ params: { id, kind } }) => flags.look(kind, id),
      decide: ({ params: { id, kind }, payload }) =>
        Effect.flatMap(CurrentUser, ({ userId }) => flags.decide(kind, id, payload, userId)),
      reports: ({ query }) => reconciliation.reports({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      reconcile: ({ payload }) =>
        Effect.flatMap(
          CurrentUser,
          ({ userId }) => reconciliation.run(payload.hours ?? defaultHours, userId)
        ),
      webhooks: ({ query }) => inbox.list({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      replay: ({ params }) =>
        Effect.flatMap(CurrentUser, ({ userId }) => inbox.replay(params.provider, params.eventId, userId))
    })
  })
)
