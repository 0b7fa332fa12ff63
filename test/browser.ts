import { Console, Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { type Browser, chromium, type Page } from "playwright-core"
import { freePorts, listening, ready, start } from "./layers/DevServer.ts"

/**
 * `npm run test:browser`: the checkout as a payer sees it, in a real Chromium: every button clicked, with and without an app to
 * return to, on a telephone and on a desk, light and dark, without JavaScript; then the API is asked what became of the
 * payment. Pictures go to a folder. Ends with 1 when something is not as it should be, skips where no Chromium is found.
 */
const pictures = resolve("bench/results/browser")

const places = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
const program = places.find((place) => place !== undefined && existsSync(place))

const Tokens = Schema.decodeUnknownSync(Schema.Struct({ tokens: Schema.Struct({ accessToken: Schema.String }) }))
const Payment = Schema.decodeUnknownSync(
  Schema.Struct({
    id: Schema.String,
    status: Schema.String,
    nextAction: Schema.optional(Schema.Struct({ url: Schema.String }))
  })
)

let wrong = 0
const check = (name: string, holds: boolean, seen = "") => {
  if (!holds) wrong += 1
  process.stdout.write(`${holds ? "✓" : "✗"} ${name}${holds || seen === "" ? "" : `: ${seen}`}\n`)
}

/** The API as an app uses it. */
const member = async (base: string) => {
  const send = (path: string, init: RequestInit) =>
    fetch(`${base}${path}`, init).then((answer): Promise<unknown> => answer.json())
  const registered = await send("/api/auth/register", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: `payer-${randomUUID()}@example.com`, password: "a long enough passphrase" })
  })
  const authorization = `Bearer ${Tokens(registered).tokens.accessToken}`
  return {
    charge: async (amount: number, returnUrl?: string) =>
      Payment(
        await send("/api/payment/charge", {
          method: "POST",
          headers: { authorization, "content-type": "application/json", "idempotency-key": randomUUID() },
          body: JSON.stringify({ amount, currency: "NGN", ...returnUrl === undefined ? {} : { returnUrl } })
        })
      ),
    confirmed: async (id: string) =>
      Payment(await send(`/api/payment/${id}/confirm`, { method: "POST", headers: { authorization } })).status
  }
}

/** A page in a browser profile of its own, and everything that it complained about. */
const opened = async (browser: Browser, options: Parameters<Browser["newContext"]>[0] = {}) => {
  const page = await browser.newPage(options)
  const complaints: Array<string> = []
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("console", (line) => {
    // A browser asks every site for its icon.
    if (line.type() === "error" && !line.location().url.endsWith("/favicon.ico")) complaints.push(line.text())
  })
  return { page, complaints }
}

const telephone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }
const looks = {
  "desk, light": { viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  "telephone, dark, no JavaScript": { ...telephone, colorScheme: "dark", javaScriptEnabled: false }
} as const

const fits = (page: Page) =>
  page.locator("main").boundingBox().then((box) =>
    box !== null && box.x >= 0 && box.x + box.width <= (page.viewportSize()?.width ?? 0)
  )

const outcomes = [
  { button: "Pay", says: "Paid. Thank you.", status: "succeeded" },
  { button: "Decline", says: "The payment was declined.", status: "failed" },
  { button: "Cancel", says: "The payment was canceled.", status: "canceled" }
] as const

const withoutReturn = async (browser: Browser, app: Awaited<ReturnType<typeof member>>) => {
  for (const [look, options] of Object.entries(looks)) {
    for (const { button, says, status } of outcomes) {
      const { complaints, page } = await opened(browser, options)
      const { id, nextAction } = await app.charge(250_000)
      await page.goto(nextAction?.url ?? "")
      const amount = await page.getByRole("heading", { level: 1 }).innerText()
      const named = `${button} (${look})`
      check(`${named}: shows what is to be paid`, /NGN.2,500\.00|₦2,500\.00/.test(amount), amount)
      check(`${named}: fits the screen`, await fits(page))
      const picture = (state: string) =>
        page.screenshot({ path: join(pictures, `${look.replaceAll(/\W+/g, "-")}-${state}.png`) })
      if (button === "Pay") await picture("open")
      await page.getByRole("button", { name: button }).click()
      await page.getByRole("status").waitFor()
      const told = await page.getByRole("status").innerText()
      check(`${named}: says so`, told === says, told)
      await picture(status)
      check(`${named}: nothing left to press`, await page.getByRole("button").count() === 0)
      check(`${named}: the payment is ${status}`, await app.confirmed(id) === status)
      check(`${named}: nothing the browser complains about`, complaints.length === 0, complaints.join("; "))
      await page.context().close()
    }
  }
}

const withReturn = async (browser: Browser, app: Awaited<ReturnType<typeof member>>, shop: string) => {
  const { complaints, page } = await opened(browser, telephone)
  const { id, nextAction } = await app.charge(1_000, `${shop}/thanks?order=7`)
  await page.goto(nextAction?.url ?? "")
  await page.getByRole("button", { name: "Pay" }).click()
  await page.waitForURL(`${shop}/**`)
  const { searchParams } = new URL(page.url())
  check(
    "with an app to return to: comes back with the outcome",
    searchParams.get("redirect_status") === "succeeded",
    page.url()
  )
  check("with an app to return to: what the app put there is kept", searchParams.get("order") === "7", page.url())
  check("with an app to return to: the payment is succeeded", await app.confirmed(id) === "succeeded")
  await page.goto(nextAction?.url ?? "")
  check("a checkout that is over offers to continue", await page.getByRole("link", { name: "Continue" }).count() === 1)
  check("with an app to return to: nothing the browser complains about", complaints.length === 0, complaints.join("; "))
  await page.context().close()
}

const others = async (browser: Browser, base: string, checkout: string) => {
  const lost = await opened(browser, telephone)
  const answer = await lost.page.goto(new URL("/checkout/none", checkout).href)
  check(
    "an unknown checkout says so",
    answer?.status() === 404 && await lost.page.getByText("No such checkout").isVisible()
  )
  await lost.page.screenshot({ path: join(pictures, "unknown.png") })
  const docs = await opened(browser)
  await docs.page.goto(`${base}/docs`)
  await docs.page.getByText("/api/payment/charge").first().waitFor()
  await docs.page.screenshot({ path: join(pictures, "docs.png") })
  check("/docs shows the routes, within its own policy", docs.complaints.length === 0, docs.complaints.join("; "))
}

const home = mkdtempSync(join(tmpdir(), "midnight-browser-"))
const run = (executablePath: string) =>
  Effect.gen(function*() {
    mkdirSync(pictures, { recursive: true })
    const shop = yield* listening
    yield* Effect.promise(async () => {
      createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<title>Thanks</title>")).listen(
        shop.server
      )
    })
    const shopUrl = `http://127.0.0.1:${shop.port}`
    const ports = yield* freePorts
    yield* ready(yield* start({ ...ports, MIDNIGHT_HOME: home, RETURN_URL_ORIGINS: shopUrl }))
    const browser = yield* Effect.acquireRelease(
      Effect.promise(() => chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] })),
      (browser) => Effect.promise(() => browser.close())
    )
    const base = `http://127.0.0.1:${ports.PORT}`
    yield* Effect.promise(async () => {
      const app = await member(base)
      await withoutReturn(browser, app)
      await withReturn(browser, app, shopUrl)
      await others(browser, base, `http://127.0.0.1:${ports.SANDBOX_PORT}`)
    })
    yield* Console.log(`${browser.version()}; pictures in ${pictures}`)
  }).pipe(Effect.scoped, Effect.timeout("3 minutes"))

if (program === undefined) {
  process.stdout.write(
    "SKIPPED: no Chromium here. Install one (Debian: apt-get install chromium) or name it in CHROMIUM.\n"
  )
} else {
  await Effect.runPromise(run(program)).finally(() => rmSync(home, { recursive: true, force: true, maxRetries: 10 }))
  process.exitCode = wrong === 0 ? 0 : 1
}
