import { HttpApi, OpenApi } from "effect/http-api"
import { AccountApi } from "./AccountApi.ts"
import { AdminApi } from "./AdminApi.ts"
import { AdminPaymentsApi } from "./AdminPaymentsApi.ts"
import { AdminUsersApi } from "./AdminUsersApi.ts"
import { DeadLettersApi } from "./DeadLettersApi.ts"
import { IdentityApi } from "./IdentityApi.ts"
import { completeDocument } from "./OpenApiDocument.ts"
import { PaymentsApi, WebhooksApi } from "./PaymentsApi.ts"
import { PayoutsApi } from "./PayoutsApi.ts"
import { ReviewApi } from "./ReviewApi.ts"
import { RewardsApi } from "./RewardsApi.ts"
import { SystemApi } from "./SystemApi.ts"
import { VideoApi } from "./VideoApi.ts"
import { WalletApi } from "./WalletApi.ts"
import { WebhookEndpointsApi } from "./WebhookEndpointsApi.ts"

/** Every route of the API process. Unknown properties of a body are refused. */
export class Api extends HttpApi.make("midnight")
  .add(IdentityApi)
  .add(AccountApi)
  .add(WalletApi)
  .add(PaymentsApi)
  .add(PayoutsApi)
  .add(WebhooksApi)
  .add(WebhookEndpointsApi)
  .add(RewardsApi)
  .add(VideoApi)
  .add(ReviewApi)
  .add(AdminApi)
  .add(AdminUsersApi)
  .add(DeadLettersApi)
  .add(AdminPaymentsApi)
  .add(SystemApi)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotate(HttpApi.QueryParseOptions, { errors: "all" })
  .annotateMerge(OpenApi.annotations({
    title: "Midnight",
    version: "0.1.0",
    license: { name: "MIT" },
    transform: (document) => ({ ...document, ...completeDocument(document["paths"], document["components"]) })
  }))
{}
