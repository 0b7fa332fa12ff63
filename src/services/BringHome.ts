import { Effect } from "effect"
import type { CampaignId, UserId } from "../domain/Ids.ts"
import { Amount, type Currency } from "../domain/Money.ts"
import { between, escrowOf, walletOf } from "../domain/Wallet.ts"
import type { Ledger } from "./Ledger.ts"

/**
 * Returns to its sponsor what no submission holds of a closed campaign's escrow, and answers whether that was all. Of two at
 * once one finds less than it saw, and looks again: the escrow cannot be overdrawn, so no money goes home twice.
 */
export const bringHome = (ledger: Ledger["Service"]) =>
  Effect.fnUntraced(function*(
    campaign: { readonly id: CampaignId; readonly sponsorId: UserId; readonly currency: Currency },
    key: string
  ) {
    const { currency, id, sponsorId } = campaign
    const { available, balance } = yield* ledger.balance(escrowOf(id), currency)
    if (available > 0n) {
      yield* ledger.post(between({
        key,
        kind: "escrow",
        from: escrowOf(id),
        to: walletOf(sponsorId),
        amount: Amount.make(available),
        currency,
        reference: { campaignId: id }
      }))
    }
    return available === balance
  }, Effect.retry({ times: 5, while: ({ _tag }) => _tag === "InsufficientFunds" }))
