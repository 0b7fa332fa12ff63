import type { Parameters } from "./StripeForm.ts"

const metadata = { "metadata[*]": "string" } as const
const expand = { "expand[]": "string" } as const
const range = {
  created: "integer",
  "created[gt]": "integer",
  "created[gte]": "integer",
  "created[lt]": "integer",
  "created[lte]": "integer"
} as const
const paging = { limit: "integer", starting_after: "string", ending_before: "string", ...range, ...expand } as const

/** What Stripe's API reference lists for each endpoint, as far as Midnight could come to use it. */
export const stripeSpec = {
  session: {
    required: { mode: ["payment", "setup", "subscription"], success_url: "string" },
    optional: {
      ...metadata,
      ...expand,
      cancel_url: "string",
      client_reference_id: "string",
      customer: "string",
      customer_email: "string",
      expires_at: "integer",
      locale: "string",
      submit_type: ["auto", "book", "donate", "pay", "subscribe"],
      "payment_method_types[]": "string",
      "line_items[][quantity]": "integer",
      "line_items[][price]": "string",
      "line_items[][price_data][currency]": "string",
      "line_items[][price_data][unit_amount]": "money",
      "line_items[][price_data][product]": "string",
      "line_items[][price_data][product_data][name]": "string",
      "line_items[][price_data][product_data][description]": "string",
      "payment_intent_data[description]": "string",
      "payment_intent_data[metadata][*]": "string",
      "payment_intent_data[receipt_email]": "string",
      "payment_intent_data[statement_descriptor_suffix]": "string",
      "payment_intent_data[transfer_group]": "string"
    }
  },
  expire: { optional: expand },
  one: { optional: expand },
  sessions: { optional: { ...paging, payment_intent: "string", customer: "string", status: "string" } },
  refund: {
    optional: {
      ...metadata,
      ...expand,
      charge: "string",
      payment_intent: "string",
      amount: "money",
      currency: "string",
      instructions_email: "string",
      reason: ["duplicate", "fraudulent", "requested_by_customer"],
      refund_application_fee: "boolean",
      reverse_transfer: "boolean"
    }
  },
  disputes: { optional: { ...paging, charge: "string", payment_intent: "string" } },
  refunds: { optional: { ...paging, charge: "string", payment_intent: "string" } },
  token: {
    optional: {
      ...expand,
      "bank_account[country]": "string",
      "bank_account[currency]": "string",
      "bank_account[account_holder_name]": "string",
      "bank_account[account_holder_type]": ["company", "individual"],
      "bank_account[account_number]": "string",
      "bank_account[account_type]": ["checking", "savings"],
      "bank_account[routing_number]": "string"
    }
  },
  account: {
    optional: {
      ...metadata,
      ...expand,
      type: ["custom", "express", "standard"],
      country: "string",
      email: "string",
      business_type: ["company", "government_entity", "individual", "non_profit"],
      "capabilities[transfers][requested]": "boolean",
      "capabilities[card_payments][requested]": "boolean",
      "tos_acceptance[service_agreement]": ["full", "recipient"],
      "tos_acceptance[date]": "integer",
      "tos_acceptance[ip]": "string",
      "settings[payouts][schedule][interval]": ["manual", "daily", "weekly", "monthly"],
      external_account: "string"
    }
  },
  transfer: {
    required: { currency: "string", destination: "string" },
    optional: {
      ...metadata,
      ...expand,
      amount: "money",
      description: "string",
      source_transaction: "string",
      source_type: ["bank_account", "card", "fpx"],
      transfer_group: "string"
    }
  },
  transfers: { optional: { ...paging, destination: "string", transfer_group: "string" } },
  reversal: {
    optional: { ...metadata, ...expand, amount: "money", description: "string", refund_application_fee: "boolean" }
  },
  payout: {
    required: { amount: "money", currency: "string" },
    optional: {
      ...metadata,
      ...expand,
      description: "string",
      destination: "string",
      method: ["instant", "standard"],
      source_type: ["bank_account", "card", "fpx"],
      statement_descriptor: "string"
    }
  },
  payouts: { optional: { ...paging, status: "string", destination: "string", "arrival_date[gte]": "integer" } }
} as const satisfies Readonly<Record<string, Parameters>>
