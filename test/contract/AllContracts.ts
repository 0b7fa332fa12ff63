import { accountContracts } from "./AccountContracts.ts"
import { adminContracts } from "./AdminContracts.ts"
import { adminUserContracts } from "./AdminUserContracts.ts"
import { deadLetterContracts } from "./DeadLetterContracts.ts"
import { flagContracts } from "./FlagContracts.ts"
import { identityContracts } from "./IdentityContracts.ts"
import { moneyOutContracts } from "./MoneyOutContracts.ts"
import { paymentContracts } from "./PaymentContracts.ts"
import { reconciliationContracts } from "./ReconciliationContracts.ts"
import { reviewContracts } from "./ReviewContracts.ts"
import { rewardsContracts } from "./RewardsContracts.ts"
import type { Contracts } from "./RouteContract.ts"
import { systemContracts, videoContracts } from "./VideoContracts.ts"
import { walletContracts } from "./WalletContracts.ts"
import { webhookContracts } from "./WebhookContracts.ts"

/** Every route that Midnight promises. A route that is served and not here fails the suite. */
export const contracts: Contracts = {
  ...identityContracts,
  ...accountContracts,
  ...walletContracts,
  ...paymentContracts,
  ...rewardsContracts,
  ...videoContracts,
  ...reviewContracts,
  ...systemContracts,
  ...adminContracts,
  ...adminUserContracts,
  ...deadLetterContracts,
  ...moneyOutContracts,
  ...flagContracts,
  ...reconciliationContracts,
  ...webhookContracts
}
