import { createHash } from "node:crypto"
import { exponents } from "../../domain/Money.ts"
import type { Charge } from "./ChargeBook.ts"

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;" }
const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? character)

/** Minor units as people write them: `NGN 2,500.00`, `¥500`, `KWD 1.250`. Exact at any size. */
export const formatAmount = ({ amount, currency }: Pick<Charge, "amount" | "currency">): string => {
  const digits = exponents[currency]
  const padded = amount.toString().padStart(digits + 1, "0")
  const whole = BigInt(digits === 0 ? padded : padded.slice(0, -digits))
  const format = new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: 0 })
  const fraction = digits === 0 ? "" : `.${padded.slice(-digits)}`
  return format.format(whole).replace(/\u00a0/g, " ") + fraction
}

const style = `
:root{color-scheme:light dark;--ink:#14142b;--soft:#63637d;--card:#fff;--ground:#eef0f8;--line:#dcdfee;--go:#4338ca;--ok:#0f7a4d;--no:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#f1f1fb;--soft:#a2a3c0;--card:#181a35;--ground:#0b0c1e;--line:#2d305a;--go:#7c74ff;--ok:#4ade9b;--no:#ff8b82}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:20px;background:radial-gradient(90% 60% at 50% 0,color-mix(in srgb,var(--go) 18%,var(--ground)),var(--ground));color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:400px;background:var(--card);border:1px solid var(--line);border-radius:20px;padding:28px;box-shadow:0 24px 60px -24px rgb(10 10 40/.45)}
header{display:flex;align-items:center;justify-content:space-between;gap:12px;font-weight:600}
header span:first-child{display:flex;align-items:center;gap:10px;line-height:1.25}
svg{width:24px;height:24px;flex:none}
.tag{font-size:12px;font-weight:600;color:var(--soft);border:1px solid var(--line);border-radius:99px;padding:3px 10px;white-space:nowrap}
.label{margin:28px 0 0;color:var(--soft);font-size:14px}
h1{margin:2px 0 20px;font-size:clamp(28px,9vw,40px);line-height:1.15;letter-spacing:-.02em;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
h1.long{font-size:clamp(22px,7vw,30px)}
dl{margin:0 0 24px;padding:14px 0;border:solid var(--line);border-width:1px 0;display:grid;grid-template-columns:auto 1fr;gap:6px 16px;font-size:14px}
dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
form{display:grid;grid-template-columns:1fr 1fr;gap:10px}
button,.button{min-height:48px;padding:0 16px;border-radius:12px;border:1px solid var(--line);background:transparent;color:var(--ink);font:inherit;font-weight:600;cursor:pointer;text-align:center;text-decoration:none;display:grid;place-items:center}
button:first-child,.button{grid-column:1/-1;background:var(--go);border-color:var(--go);color:#fff}
@media(prefers-color-scheme:dark){button:first-child,.button{color:#0b0c1e}}
button:hover,.button:hover{filter:brightness(1.08)}
:focus-visible{outline:3px solid var(--go);outline-offset:3px}
.result{margin:0 0 16px;font-weight:600}.succeeded{color:var(--ok)}.failed,.canceled{color:var(--no)}
footer{margin-top:20px;color:var(--soft);font-size:13px}
`

const page = (title: string, content: string) =>
  `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>${title}</title><style>${style}</style></head><body><main>
<header><span><svg viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor" d="M20 14.6A8.5 8.5 0 0 1 9.4 4 8.5 8.5 0 1 0 20 14.6Z"/></svg>Sandbox Pay</span><span class="tag">Test mode</span></header>
${content}
<footer>No real money moves here.</footer></main></body></html>`

// A long amount may break after a thousands separator, never within a group of digits.
const heading = (amount: string) =>
  `<h1${amount.length > 14 ? " class=\"long\"" : ""}>${escape(amount).replaceAll(",", ",<wbr>")}</h1>`

const details = (charge: Charge) =>
  `<p class="label">${charge.status === "requires_action" ? "Amount to pay" : "Amount"}</p>
${heading(formatAmount(charge))}
<dl><dt>Reference</dt><dd>${escape(charge.reference)}</dd></dl>`

const choices = `<form method="post">
<button name="outcome" value="succeed">Pay</button>
<button name="outcome" value="fail">Decline</button>
<button name="outcome" value="abandon">Cancel</button>
</form>`

const results = {
  succeeded: "Paid. Thank you.",
  failed: "The payment was declined.",
  canceled: "The payment was canceled."
} as const

/** Where the payer goes afterwards: the return URL with the outcome, which it must confirm and not believe. */
export const returnLocation = (charge: Charge): string | undefined => {
  if (charge.returnUrl === undefined || !URL.canParse(charge.returnUrl)) return undefined
  const url = new URL(charge.returnUrl)
  url.searchParams.set("payment_id", charge.reference)
  url.searchParams.set("redirect_status", charge.status)
  return url.href
}

export const checkoutPage = (charge: Charge): string => {
  if (charge.status === "requires_action") return page("Checkout", details(charge) + choices)
  const back = returnLocation(charge)
  const link = back === undefined ? "" : `<a class="button" href="${escape(back)}">Continue</a>`
  const result = `<p class="result ${charge.status}" role="status">${results[charge.status]}</p>`
  return page(results[charge.status], details(charge) + result + link)
}

export const unknownPage = page(
  "Not found",
  `<h1>No such checkout</h1><p class="label">The link is wrong or too old.</p>`
)

const styleHash = createHash("sha256").update(style).digest("base64")

/**
 * Nothing but the page's own style; forms go here, and on to the return URL: browsers hold a redirect after a form to
 * form-action too.
 */
export const contentSecurityPolicy = (charge: Charge | undefined): string => {
  const back = charge === undefined ? undefined : returnLocation(charge)
  const target = back === undefined ? "" : ` ${new URL(back).origin}`
  return `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'${target}; base-uri 'none'; `
    + "frame-ancestors 'none'"
}
