import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { CampaignId } from "../domain/Ids.ts"
import { UnsupportedCurrency } from "../domain/Money.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import {
  Campaign,
  CampaignDatesInvalid,
  CreateCampaign,
  CurrencyMismatch,
  EscrowTooSmall,
  FundCampaign,
  IllegalCampaignTransition,
  PatchCampaign
} from "../domain/Rewards.ts"
import { BalanceLimit, InsufficientFunds, PostingConflict } from "../domain/Wallet.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const params = { id: CampaignId }
const posting = [InsufficientFunds, PostingConflict, BalanceLimit] as const

const create = HttpApiEndpoint.post("create", "/api/campaigns", {
  payload: CreateCampaign,
  success: Campaign.pipe(HttpApiSchema.status(201)),
  error: [UnsupportedCurrency, CampaignDatesInvalid, Unavailable]
}).annotate(AccessPolicy, "sponsor").middleware(RoleRequired)

const list = HttpApiEndpoint.get("list", "/api/campaigns", {
  query: { ...pageQuery, q: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(200))) },
  success: pageOf(Campaign),
  error: [InvalidRequest, Unavailable]
})

const find = HttpApiEndpoint.get("find", "/api/campaigns/:id", {
  params,
  success: Campaign,
  error: [NotFound, Unavailable]
})

const edit = HttpApiEndpoint.patch("edit", "/api/campaigns/:id", {
  params,
  payload: PatchCampaign,
  success: Campaign,
  error: [NotFound, CampaignDatesInvalid, Unavailable]
})

const fund = HttpApiEndpoint.post("fund", "/api/campaigns/:id/fund", {
  params,
  payload: FundCampaign,
  success: Campaign,
  error: [NotFound, IllegalCampaignTransition, CurrencyMismatch, ...posting, Unavailable]
})
  .annotate(KeptBy, "rewards")
  .annotate(AdmissionClass, "payments")
  .middleware(Idempotency)

const activate = HttpApiEndpoint.post("activate", "/api/campaigns/:id/activate", {
  params,
  success: Campaign,
  error: [NotFound, IllegalCampaignTransition, EscrowTooSmall, Unavailable]
})

const pause = HttpApiEndpoint.post("pause", "/api/campaigns/:id/pause", {
  params,
  success: Campaign,
  error: [NotFound, IllegalCampaignTransition, Unavailable]
})

const close = HttpApiEndpoint.post("close", "/api/campaigns/:id/close", {
  params,
  success: Campaign,
  error: [NotFound, IllegalCampaignTransition, ...posting, Unavailable]
})
  .annotate(KeptBy, "rewards")
  .annotate(AdmissionClass, "payments")
  .middleware(Idempotency)

export class RewardsApi extends HttpApiGroup.make("rewards")
  .add(list, find, edit, fund, activate, pause, close)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .add(create)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
{}
