import { randomBytes } from "node:crypto"
import type { Answer, FakeRequest } from "./FakeServer.ts"
import { type Body, fail, now, ok, paged, type Route, subunits, text } from "./PaystackAnswers.ts"
import type { PaystackBook, Recipient, Transfer } from "./PaystackBook.ts"

const recipientTypes = ["nuban", "ghipss", "mobile_money", "basa", "kepss", "authorization"]

/** Recipients, transfers to them, and the one-time password that may stand between. */
export const transferRoutes = (book: PaystackBook): ReadonlyArray<Route> => {
  const recipient = (body: Body): Answer => {
    const [type, account_number, bank_code, name] = ["type", "account_number", "bank_code", "name"].map((key) =>
      text(body[key])
    )
    if (type === undefined || !recipientTypes.includes(type)) {
      return fail(400, "Invalid recipient type", "invalid_params")
    }
    if (!account_number || !bank_code || !name) {
      return fail(400, "Account number, bank code and name are needed", "missing_params")
    }
    const currency = text(body["currency"]) || "NGN"
    // An account that is known is answered with the recipient that it has.
    const known = [...book.recipients.values()].find((one) =>
      one.account_number === account_number && one.bank_code === bank_code && one.currency === currency
    )
    const recipient_code = `RCP_${randomBytes(8).toString("hex")}`
    const made: Recipient = known ?? { id: book.nextId(), recipient_code, type, account_number, bank_code, currency }
    book.recipients.set(made.recipient_code, made)
    return ok("Transfer recipient created successfully", { ...made, domain: book.domain, active: true, name })
  }
  const create = (body: Body): Answer => {
    const amount = subunits(body["amount"])
    const reference = text(body["reference"]) || randomBytes(10).toString("hex")
    const to = book.recipients.get(text(body["recipient"]))
    if (body["source"] !== "balance") return fail(400, "Source must be balance", "invalid_params")
    if (amount === undefined) return fail(400, "Invalid amount", "invalid_amount")
    if (to === undefined) return fail(404, "Recipient specified is invalid", "invalid_recipient")
    if (!/^[a-z0-9_-]{16,50}$/.test(reference)) return fail(400, "Invalid transfer reference", "invalid_reference")
    if (book.transfers.has(reference)) {
      return fail(
        400,
        "Please provide a unique reference. Reference already exists on a transfer",
        "duplicate_transfer_reference"
      )
    }
    const transfer: Transfer = {
      id: book.nextId(),
      reference,
      transfer_code: `TRF_${randomBytes(8).toString("hex")}`,
      amount,
      currency: text(body["currency"]) || "NGN",
      recipient: to.recipient_code,
      reason: text(body["reason"]) || null,
      createdAt: now(),
      status: book.otp ? "otp" : "pending"
    }
    book.transfers.set(reference, transfer)
    if (!book.otp) book.begin("payout", reference, "success")
    const message = book.otp ? "Transfer requires OTP to continue" : "Transfer has been queued"
    return ok(message, book.transferOf(transfer))
  }
  const verify = (_: Body, reference: string): Answer => {
    const transfer = book.transfers.get(reference)
    return transfer === undefined
      ? fail(404, "Transfer not found", "transfer_not_found")
      : ok("Transfer retrieved", book.transferOf(transfer))
  }
  const finalize = (body: Body): Answer => {
    const transfer = [...book.transfers.values()].find((one) => one.transfer_code === body["transfer_code"])
    if (transfer?.status !== "otp") return fail(400, "Transfer is not currently awaiting OTP", "invalid_state")
    if (!/^\d{6}$/.test(text(body["otp"]))) return fail(400, "Incorrect OTP", "invalid_otp")
    transfer.status = "pending"
    book.begin("payout", transfer.reference, "success")
    return ok("Transfer has been queued", book.transferOf(transfer))
  }
  const list = (_: Body, __: string, request: FakeRequest) =>
    paged(book.transfers.values(), request, (row) => book.transferOf(row))
  return [
    { method: "POST", pattern: /^\/transferrecipient$/, act: recipient },
    { method: "POST", pattern: /^\/transfer$/, act: create },
    { method: "GET", pattern: /^\/transfer$/, act: list },
    { method: "POST", pattern: /^\/transfer\/finalize_transfer$/, act: finalize },
    { method: "GET", pattern: /^\/transfer\/verify\/([^/]+)$/, act: verify }
  ]
}
