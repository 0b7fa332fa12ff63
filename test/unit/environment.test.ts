import { assert, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { defaultLimits } from "../../src/http/middleware/AdmissionLive.ts"
import * as Bulkheads from "../../src/layers/BulkheadSettings.ts"
import { databaseLimits } from "../../src/layers/Config.ts"
import * as Edge from "../../src/layers/EdgeSettings.ts"
import { configurable, variableOf } from "../../src/layers/LimitFigures.ts"
import { defaults } from "../../src/layers/media/Engine.ts"
import { mostUnanswered } from "../../src/layers/Shedding.ts"
import { defaultProviderFigures, ProviderSettings } from "../../src/services/GatewayPolicy.ts"
import { defaultIdentityFigures, IdentitySettings } from "../../src/services/IdentitySettings.ts"
import { LedgerQueue } from "../../src/services/LedgerWriter.ts"
import { defaultVideoFigures, VideoSettings } from "../../src/services/VideoSettings.ts"

const root = join(import.meta.dirname, "../..")

const sources = (folder: string): string =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(root, folder, name), "utf8"))
    .join("\n")

// Nothing else may read the environment (test/architecture.test.ts).
const code = sources("src/layers") + sources("src/main")

/** The variables of .env.example and what each is shown with; a secret's is empty. */
const shown = new Map(
  readFileSync(join(root, ".env.example"), "utf8").split("\n")
    .flatMap((line) => {
      const [, name, value] = /^#?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? []
      return name === undefined || value === undefined ? [] : [[name, value] as const]
    })
)

/** Written like variables in the sources, and none. */
const others = ["ERR_HTTP_REQUEST_TIMEOUT", "HPE_HEADER_OVERFLOW", "PG_VERSION"]
/** Without an underscore nothing tells a variable from a word. */
const short = ["PORT", "HOST", "CURRENCIES"]
/** Of the SDK, which reads them itself, of the signals, whose names the exporter puts together, and of the tests. */
const elsewhere = [
  ...["HEADERS", "TIMEOUT", "TRACES_ENDPOINT", "LOGS_ENDPOINT", "METRICS_ENDPOINT"].map((end) =>
    `OTEL_EXPORTER_OTLP_${end}`
  ),
  "DATABASE_URL_TEST"
]

const written = new Set(Array.from(code.matchAll(/"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/g), ([, name]) => name ?? ""))
const read = new Set([
  ...[...written].filter((name) => !others.includes(name)),
  ...short.filter((name) => code.includes(`"${name}"`)),
  ...configurable.map(({ name }) => variableOf(name)),
  ...elsewhere
])

it("every variable that the sources read stands in .env.example, once, and every one that stands there is read", () => {
  assert.deepStrictEqual([...shown.keys()].toSorted(), [...read].toSorted())
  const lines = readFileSync(join(root, ".env.example"), "utf8").match(/^#?[A-Z][A-Z0-9_]*=/gm) ?? []
  assert.lengthOf(lines, shown.size)
  for (const name of others) assert.isTrue(written.has(name), `${name} does not occur any more`)
})

const plain = (literal: string) =>
  /^[0-9_]+$/.test(literal) ? literal.replaceAll("_", "") : literal.replaceAll("\"", "")

/** What follows a variable's name in the sources as its default: a second argument, or that of a `withDefault` soon after. */
const literal = String.raw`("[^"\n]*"|[0-9][0-9_]*|true|false)`
const patterns = [
  new RegExp(String.raw`\b(?:duration|millis|integer|minorUnits|port|text)\(\s*"([A-Z0-9_]+)",\s*${literal}`, "g"),
  new RegExp(String.raw`"([A-Z0-9_]+)"\)\s*\.pipe\(\s*Config\.withDefault\(${literal}\)`, "g")
]
/** Default texts that say more than one thing, or are a sentence's. */
const example = new Set(["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "PAYSTACK_SECRET_KEY"])

it("a default that the sources spell out is the one that .env.example shows", () => {
  const found = patterns.flatMap((pattern) => [...code.matchAll(pattern)])
    .flatMap(([, name = "", value = ""]) => example.has(name) ? [] : [[name, plain(value)] as const])
  const differing = found.filter(([name, value]) => shown.get(name) !== value)
  assert.deepStrictEqual(differing, [])
  // Of some eighty: a pattern that stopped to match would compare nothing.
  assert.isAtLeast(new Set(found.map(([name]) => name)).size, 75)
})

/** Every settings object, as a server with this environment has it. */
const settings = (environment: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const bulkheads = yield* Layer.build(
      Layer.mergeAll(
        Bulkheads.identitySettings,
        Bulkheads.providerSettings,
        Bulkheads.ledgerSettings,
        Bulkheads.videoSettings
      )
    )
    return {
      connections: yield* Edge.connections,
      requests: yield* Edge.requests,
      uploadRequests: yield* Edge.uploadRequests,
      bodies: yield* Edge.bodies,
      admission: yield* Edge.admission,
      unanswered: yield* Edge.unanswered,
      database: yield* databaseLimits,
      media: yield* Bulkheads.mediaSettings,
      identity: Context.get(bulkheads, IdentitySettings),
      provider: Context.get(bulkheads, ProviderSettings),
      ledger: Context.get(bulkheads, LedgerQueue),
      video: Context.get(bulkheads, VideoSettings)
    }
  }).pipe(Effect.scoped, Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment))))

it.effect("a server whose environment is all of .env.example is one that has none, and both are what the code has by default", () =>
  Effect.gen(function*() {
    const silent = yield* settings({})
    assert.deepStrictEqual(yield* settings(Object.fromEntries(shown)), silent)
    assert.deepStrictEqual(silent.identity, defaultIdentityFigures)
    assert.deepStrictEqual(silent.provider, defaultProviderFigures)
    assert.deepStrictEqual(silent.video, defaultVideoFigures)
    assert.strictEqual(silent.ledger, Context.get(Context.empty(), LedgerQueue))
    assert.deepStrictEqual(silent.admission, defaultLimits)
    assert.deepStrictEqual(silent.unanswered, mostUnanswered)
    assert.deepStrictEqual({ ...defaults, ...silent.media }, defaults)
  }))

const refusal = (environment: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(settings(environment)), (error: Config.ConfigError) => error.message)

it.effect("what is out of bounds ends the start with its name, what is allowed and what was given", () =>
  Effect.gen(function*() {
    const message = yield* refusal({ HTTP_REQUEST_TIMEOUT: "1 hour" })
    for (const part of ["HTTP_REQUEST_TIMEOUT", "a time from 1s to 25s", "got \"1 hour\""]) {
      assert.include(message, part)
    }
    const wrong = [
      ["HTTP_BODY_BYTES", "0"],
      ["HTTP_BODY_BYTES", "64 KiB"],
      ["HTTP_BACKLOG", "-1"],
      ["HTTP_BACKLOG", "1e3"],
      ["HTTP_CHECK_INTERVAL", "2"],
      ["DRAIN_LIMIT", "Infinity"],
      ["DATABASE_STATEMENT_LIMIT", "5 seconds"],
      ["PROVIDER_ATTEMPTS", "2.5"],
      ["MEDIA_MAX_PIXELS", "8912897"]
    ] as const
    for (const [name, value] of wrong) {
      const message = yield* refusal({ [name]: value })
      assert.include(message, name)
      assert.include(message, JSON.stringify(value))
    }
  }))

it.effect("identity can be made stricter, and not laxer than its contract", () =>
  Effect.gen(function*() {
    const stricter = yield* settings({ ACCESS_TOKEN_LIFE: "5 minutes", REFRESH_TOKEN_GRACE: "0 seconds" })
    assert.strictEqual(stricter.identity.accessTokenLife, 300)
    const laxer = {
      ACCESS_TOKEN_LIFE: "11 minutes",
      REFRESH_TOKEN_IDLE: "8 days",
      REFRESH_TOKEN_LIFE: "31 days",
      REFRESH_TOKEN_GRACE: "11 seconds",
      RESET_TOKEN_LIFE: "61 minutes"
    }
    for (const [name, value] of Object.entries(laxer)) assert.include(yield* refusal({ [name]: value }), name)
  }))

it.effect("argon2id is never weaker than OWASP's minimum, whatever is set of it", () =>
  Effect.gen(function*() {
    const enough = [[47_104, 1], [19_456, 2], [12_288, 3], [9_216, 4], [7_168, 5]] as const
    for (const [memory, passes] of enough) {
      const { identity } = yield* settings({ ARGON2_MEMORY_KIB: String(memory), ARGON2_PASSES: String(passes) })
      assert.deepInclude(identity.hashing, { memoryCost: memory, timeCost: passes })
      // A pass less, or a KiB.
      assert.include(
        yield* refusal({ ARGON2_MEMORY_KIB: String(memory), ARGON2_PASSES: String(passes - 1) }),
        "ARGON2_PASSES"
      )
      const weaker = yield* refusal({ ARGON2_MEMORY_KIB: String(memory - 1), ARGON2_PASSES: String(passes) })
      assert.match(weaker, /ARGON2_(PASSES|MEMORY_KIB)/)
    }
    assert.strictEqual((yield* settings({ ARGON2_MEMORY_KIB: "9216" })).identity.hashing.timeCost, 4)
    assert.include(yield* refusal({ ARGON2_PASSES: "1" }), "ARGON2_PASSES")
  }))

it.effect("no class may have more unanswered than the one before it", () =>
  Effect.gen(function*() {
    assert.include(yield* refusal({ DOOR_READS: "1001" }), "DOOR_READS")
    const { unanswered } = yield* settings({ DOOR_PAYMENTS: "500" })
    assert.deepStrictEqual(
      [unanswered.auth.most, unanswered.auth.least, unanswered.reads.most, unanswered.video.most],
      [500, 50, 500, 300]
    )
  }))
