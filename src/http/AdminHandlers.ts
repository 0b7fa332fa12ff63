import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requireRole } from "../domain/Identity.ts"
import { defaultLimit } from "../domain/Page.ts"
import { LedgerAdmin } from "../services/LedgerAdmin.ts"
import { Api } from "./Api.ts"

const asAdmin = requireRole("admin")

export const AdminHandlers = HttpApiBuilder.group(
  Api,
  "admin",
  Effect.fn(function*(handlers) {
    const admin = yield* LedgerAdmin
    return handlers.handleAll({
      adjust: ({ payload }) => Effect.andThen(asAdmin, admin.adjust(payload)),
      reverse: ({ params, payload }) => Effect.andThen(asAdmin, admin.reverse(params.id, payload)),
      acts: ({ query }) =>
        Effect.andThen(asAdmin, admin.acts({ cursor: query.cursor, limit: query.limit ?? defaultLimit })),
      invariants: () =>
        Effect.map(Effect.andThen(asAdmin, admin.invariants), (report) => ({
          ...report,
          clean: report.findings.every((finding) => finding.broken.length === 0)
        }))
    })
  })
)
