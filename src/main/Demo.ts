import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Fiber, Layer, Random, Ref } from "effect"
import { Command, Flag } from "effect/cli"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as Settings from "../layers/Config.ts"
import { homeDatabase } from "../layers/HomeDatabase.ts"
import { ownerPool } from "../layers/Pools.ts"
import * as SpanStore from "../layers/telemetry/SpanStore.ts"
import { draw } from "../layers/telemetry/Waterfall.ts"
import { LedgerAudit } from "../services/LedgerAudit.ts"
import { chargeSteadily, type Tally } from "./demo/Charges.ts"
import { Unexpected } from "./demo/Client.ts"
import { makeClip } from "./demo/Clip.ts"
import { available, demoUsers, type Member, openCampaign, signIn, until } from "./demo/Members.ts"
import { payOut } from "./demo/Payouts.ts"
import { bold, dim, green, makeScreen, red, type Screen } from "./demo/Screen.ts"
import { rewardsOf, type Submission, submission, upload, verify, videoHealth } from "./demo/Videos.ts"

const reward = 50_000
const currency = "NGN"
const money = (minor: number) => `${currency} ${(minor / 100).toFixed(2)}`

interface Stage {
  readonly api: string
  readonly home: string
  readonly folder: string
  readonly screen: Screen
}

const signInAll = Effect.fnUntraced(function*({ api, home, screen }: Stage) {
  const users = yield* demoUsers(home)
  const named = (role: string, nth: number) => {
    const user = users.filter((one) => one.role === role)[nth]
    return user === undefined
      ? Effect.fail(new Unexpected({ message: `${join(home, "demo.json")} has no ${role} number ${nth + 1}.` }))
      : signIn(api, user)
  }
  const sponsor = yield* named("sponsor", 0)
  const payer = yield* named("member", 0)
  const maker = yield* named("member", 1)
  screen.step("signed in: a sponsor and two members", "by e-mail and password")
  return { sponsor, payer, maker }
})

/** The process to kill, as the supervisor of `npm start` notes it. */
const videoPid = (home: string) =>
  Effect.tryPromise({
    try: async () => {
      const pid = Number(await readFile(join(home, "processes", "video.pid"), "utf8"))
      process.kill(pid, 0)
      return pid
    },
    catch: () => new Unexpected({ message: `${home} has no processes/video.pid: is \`npm start\` running there?` })
  })

/** Kills the video process while it verifies, and watches it come back. */
const killVideo = Effect.fnUntraced(function*({ api, home, screen }: Stage, member: Member, id: string) {
  yield* until("The verification's beginning", submission(api, member, id), (s) => s.status === "verifying")
  const pid = yield* videoPid(home)
  yield* Effect.sync(() => process.kill(pid, "SIGKILL"))
  const killed = performance.now()
  const since = () => `after ${((performance.now() - killed) / 1000).toFixed(1)} s`
  screen.step(red("killed the video process in the middle of it"), `SIGKILL to process ${pid}`)
  yield* until("/health noticing", videoHealth(api), (status) => status !== "ok", 5)
  screen.step("/health says video is degraded", since())
  yield* until("The video process's return", videoHealth(api), (status) => status === "ok", 30)
  screen.step("the video process is back", since())
})

const paidVideo = Effect.fnUntraced(function*(stage: Stage, maker: Member, campaignId: string) {
  const { api, folder, screen } = stage
  const path = join(folder, "scene.mp4")
  // A second run shows something else: the same video is paid for once.
  const seed = yield* Random.nextIntBetween(0, 2 ** 31)
  yield* makeClip({ path, seconds: 20, width: 1280, height: 720, kind: "scene", seed })
  const before = yield* available(api, maker, currency)
  const videoId = yield* upload(api, maker, path)
  screen.step("uploaded a real video, straight to the video process", "20 s of 1280x720, H.264 and AAC")
  const { id, requestId } = yield* verify(api, maker, videoId, campaignId)
  screen.step("asked for its verification", `request ${requestId}`)
  yield* killVideo(stage, maker, id)
  const done = yield* until("The verdict", submission(api, maker, id), (s) => s.verdict !== undefined, 90)
  screen.step(`verified: ${bold(done.status)} at attempt ${done.attempts}`, `${done.checks.length} checks measured`)
  yield* until("The reward", available(api, maker, currency), (now) => now >= before + reward, 30)
  const rewards = yield* rewardsOf(api, maker, done.createdAt)
  const gained = (yield* available(api, maker, currency)) - before
  if (rewards.length !== 1 || gained !== reward) {
    return yield* new Unexpected({
      message: `${rewards.length} rewards, wallet grew by ${gained} instead of ${reward}.`
    })
  }
  screen.step(
    `paid the reward once: ${bold(money(reward))}`,
    "from the campaign's escrow, by a hold taken at submission"
  )
  return requestId
})

const refusedVideo = Effect.fnUntraced(function*({ api, folder, screen }: Stage, maker: Member, campaignId: string) {
  const path = join(folder, "black.mp4")
  yield* makeClip({ path, seconds: 6, width: 640, height: 360, kind: "black_silent" })
  const videoId = yield* upload(api, maker, path)
  const { id } = yield* verify(api, maker, videoId, campaignId)
  const done: Submission = yield* until(
    "The second verdict",
    submission(api, maker, id),
    (s) => s.verdict !== undefined,
    90
  )
  if (done.status !== "rejected") {
    return yield* new Unexpected({ message: `A black and silent video ended ${done.status}.` })
  }
  screen.step(`a black, silent video was ${bold("rejected")}`, "and its slot is free again")
  for (const check of done.checks.filter((one) => one.outcome === "fail")) {
    screen.say(`      ${red("✗")} ${check.name.padEnd(14)} ${check.measured} ${dim(`(allowed: ${check.limit})`)}`)
  }
})

const showTrace = Effect.fnUntraced(function*({ home, screen }: Stage, requestId: string) {
  // Spans are written within a second of their end.
  yield* Effect.sleep("1500 millis")
  const spans = yield* SpanStore.find(join(home, "spans"), requestId)
  const width = process.stdout.isTTY ? Math.min(process.stdout.columns, 140) : 110
  const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
  screen.say()
  for (const line of draw(spans, { width, colour, requestId })) screen.say(line)
})

// Only now: before there is a running Midnight there is no database to look into, and signing in says so better.
const books = LedgerAudit.layer.pipe(Layer.provide(ownerPool("midnight-demo")), Layer.provide(homeDatabase))

const showAudit = Effect.fnUntraced(function*({ screen }: Stage) {
  const report = yield* Effect.flatMap(LedgerAudit, (audit) => audit.run).pipe(
    Effect.provide(books),
    Effect.mapError((error) => new Unexpected({ message: `The books could not be read: ${error.message}` }))
  )
  const broken = report.findings.filter((finding) => finding.broken.length > 0)
  screen.say()
  for (const { broken, invariant, says } of report.findings) {
    screen.say(`  ${broken.length === 0 ? green("✓") : red("✗")} ${dim(invariant.padEnd(13))} ${says}`)
  }
  screen.say(
    `\n  The ledger: ${report.transfers} transfers, ${report.entries} entries, ${
      broken.length === 0 ? green("audit clean") : red(`${broken.length} invariants broken`)
    }.`
  )
  return broken.length === 0
})

const showCharges = Effect.fnUntraced(function*({ screen }: Stage, tally: Tally) {
  const good = tally.failed === 0 && tally.credited === tally.started
  const sorted = tally.millis.toSorted((a, b) => a - b)
  const at = (part: number) => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0)
  const counted = `${tally.credited} of ${tally.started} charges succeeded`
  screen.step(good ? bold(counted) : red(counted), `credited, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms to answer`)
  return good
})

const run = Effect.gen(function*() {
  const home = resolve(yield* Settings.home)
  const api = `http://127.0.0.1:${yield* Settings.port("PORT", 3000)}`
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-demo-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const stage: Stage = { api, home, folder, screen: makeScreen() }
  const { screen } = stage
  screen.say(`\n  ${bold("Midnight")}: money keeps moving while video dies\n`)
  const { maker, payer, sponsor } = yield* signInAll(stage)
  const campaignId = yield* openCampaign(api, sponsor, {
    title: "Midnight demo",
    brief: "Any moving picture with sound.",
    reward,
    slots: 2,
    perMember: 2
  })
  screen.step("the sponsor charged, funded and opened a campaign", `${money(reward)} a video, in escrow`)

  const stop = yield* Ref.make(false)
  const charges = yield* Effect.forkChild(chargeSteadily(api, payer, stop, screen))
  screen.step("charges run ten a second from here on", "charge, checkout, signed webhook, credit")
  const requestId = yield* paidVideo(stage, maker, campaignId)
  yield* refusedVideo(stage, maker, campaignId)
  const { last4, type } = yield* payOut(api, maker, reward, currency)
  screen.step(
    `paid the reward out: ${bold(money(reward))}`,
    `held at once, sent to a ${type} account ending in ${last4}`
  )
  yield* Ref.set(stop, true)
  const tally = yield* Fiber.join(charges)
  const allCharged = yield* showCharges(stage, tally)
  yield* showTrace(stage, requestId)
  const clean = yield* showAudit(stage)
  if (!allCharged || !clean) return yield* new Unexpected({ message: "The promise was not kept; see above." })
  screen.say(`  Look closer: ${bold(`npm run trace -- ${requestId}`)}\n`)
}).pipe(Effect.scoped)

const quiet = Flag.Boolean("no-color").pipe(Flag.withDescription("Print without colours"), Flag.withDefault(false))
const demo = Command.make("demo", { quiet }, ({ quiet }) =>
  Effect.andThen(
    Effect.sync(() => {
      if (quiet) process.env["NO_COLOR"] = "1"
    }),
    run
  )).pipe(
    Command.withDescription(
      "The promise in one screen, against a running `npm start`: charges run ten a second while a real video is verified, "
        + "the video process is killed in the middle and comes back, the reward is paid once and then paid out."
    )
  )

Command.run(demo, { version: "0.1.0" }).pipe(
  Effect.catch((error) =>
    Effect.sync(() => {
      process.stderr.write(`\n  ${red("✗")} ${error.message}\n`)
      process.exitCode = 1
    })
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
