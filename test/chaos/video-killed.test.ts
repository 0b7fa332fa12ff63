import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Ref, Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, newKey } from "../../src/main/demo/Client.ts"
import { makeClip } from "../../src/main/demo/Clip.ts"
import {
  available,
  charge,
  demoUsers,
  openCampaign,
  paymentStatus,
  signIn,
  until as waitUntil
} from "../../src/main/demo/Members.ts"
import { rewardsOf, submission, upload, verify, videoHealth } from "../../src/main/demo/Videos.ts"
import { freePorts, ready, start } from "../layers/DevServer.ts"
import { temporaryFolder } from "../layers/Held.ts"

const reward = 50_000
const Transfer = Schema.Struct({ id: Schema.String })

/** Does it ten times a second until told to stop; the failures come with what they said. */
const tenPerSecond = <A, E>(stop: Ref.Ref<boolean>, work: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const done: Array<A> = []
    const failures: Array<string> = []
    const one = Effect.matchEffect(work, {
      onSuccess: (value) => Effect.sync(() => done.push(value)),
      onFailure: (error) => Effect.sync(() => failures.push(String(error)))
    })
    const running: Array<Fiber.Fiber<unknown>> = []
    const begin = performance.now()
    for (let i = 1; !(yield* Ref.get(stop)); i++) {
      running.push(yield* Effect.forkChild(one))
      yield* Effect.sleep(Math.max(1, begin + i * 100 - performance.now()))
    }
    yield* Fiber.awaitAll(running)
    return { done, failures }
  })

describe("a video process that is killed in the middle of a verification", () => {
  it.live(
    "fails no charge and no transfer, shows in /health, and the reward is paid once",
    () =>
      Effect.gen(function*() {
        const home = join(yield* temporaryFolder, "home")
        const ports = yield* freePorts
        yield* Effect.flatMap(start({ ...ports, MIDNIGHT_HOME: home, DATABASE_ACQUIRE_LIMIT: "3 seconds" }), ready)
        const api = `http://127.0.0.1:${ports.PORT}`
        const users = yield* demoUsers(home)
        const signedIn = (role: string, nth: number) => {
          const user = users.filter((one) => one.role === role)[nth]
          return user === undefined ? Effect.die(`demo.json has no ${role} ${nth}`) : signIn(api, user)
        }
        const [sponsor, payer, maker] = [
          yield* signedIn("sponsor", 0),
          yield* signedIn("member", 0),
          yield* signedIn("member", 1)
        ]
        const terms = { title: "Killed", brief: "A moving picture with sound.", reward, slots: 1, perMember: 1 }
        const campaignId = yield* openCampaign(api, sponsor, terms)
        yield* charge(api, payer, 1_000_000, "NGN")
        yield* waitUntil("the payer's money", available(api, payer, "NGN"), (now) => now >= 1_000_000)
        const path = join(home, "clip.mp4")
        yield* makeClip({ path, seconds: 20, width: 1280, height: 720, kind: "scene" })
        const videoId = yield* upload(api, maker, path)

        const stop = yield* Ref.make(false)
        // Made anew each time: with the key of the one before it would be that one's answer once more.
        const transfer = Effect.suspend(() =>
          expect(`${api}/api/wallet/transfers`, 201, Transfer, {
            token: payer.token,
            key: newKey(),
            json: { toUserId: sponsor.id, amount: 1, currency: "NGN" }
          })
        )
        const charges = yield* Effect.forkChild(tenPerSecond(stop, charge(api, sponsor, 1_000, "NGN")))
        const transfers = yield* Effect.forkChild(tenPerSecond(stop, transfer))

        const { id } = yield* verify(api, maker, videoId, campaignId)
        const seen = submission(api, maker, id)
        yield* waitUntil("verifying", seen, ({ status }) => status === "verifying", 120)
        process.kill(Number(readFileSync(join(home, "processes", "video.pid"), "utf8")), "SIGKILL")
        yield* waitUntil("degraded", videoHealth(api), (status) => status === "degraded", 60)
        yield* waitUntil("ok again", videoHealth(api), (status) => status === "ok", 120)
        // Verification comes last wherever others want the processors.
        const decided = yield* waitUntil("a verdict", seen, ({ verdict }) => verdict !== undefined, 300)
        assert.strictEqual(decided.status, "approved")
        assert.isAtLeast(decided.attempts, 2)
        yield* waitUntil("the reward", rewardsOf(api, maker, decided.createdAt), (found) => found.length > 0, 60)
        yield* Ref.set(stop, true)

        const [paid, moved] = [yield* Fiber.join(charges), yield* Fiber.join(transfers)]
        assert.deepStrictEqual([...paid.failures, ...moved.failures], [])
        assert.isAtLeast(paid.done.length, 20)
        assert.isAtLeast(moved.done.length, 20)
        assert.lengthOf(new Set(moved.done.map(({ body }) => body.id)), moved.done.length)
        for (const payment of paid.done) {
          yield* waitUntil("the credit", paymentStatus(api, sponsor, payment), (status) => status === "succeeded", 60)
        }
        const rewards = yield* rewardsOf(api, maker, decided.createdAt)
        assert.deepStrictEqual(rewards.map(({ amount }) => amount), [reward])
      }),
    900_000
  )
})
