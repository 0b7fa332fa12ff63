import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { AuditLog } from "../services/AuditLog.ts"
import { LedgerAdmin } from "../services/LedgerAdmin.ts"
import { Api } from "./Api.ts"

export const AdminHandlers = HttpApiBuilder.group(
  Api,
  "admin",
  Effect.fn(function*(handlers) {
    const admin = yield* LedgerAdmin
    const log = yield* AuditLog
    return handlers.handleAll({
      adjust: ({ payload }) => admin.adjust(payload),
      reverse: ({ params, payload }) => admin.reverse(params.id, payload),
      auditLog: ({ query }) => log.page({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      invariants: () =>
        Effect.map(admin.invariants, (report) => ({
          ...report,
          clean: report.findings.every((finding) => finding.broken.length === 0)
        }))
    })
  })
)
