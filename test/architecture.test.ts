import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative, resolve } from "node:path"

// The import law, the sizes and the bans, as a test: what is not checked does not stay true.
const root = resolve(import.meta.dirname, "..")

const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))

const sources = [...filesBelow("src"), ...filesBelow("migrations")]
const tests = filesBelow("test")
const text = (path: string) => readFileSync(join(root, path), "utf8")

/** Project files that a file imports, as paths from the root. */
const importsOf = (path: string): ReadonlyArray<string> =>
  [...text(path).matchAll(/^(?:import|export)[^"]*?from "(\.[^"]+)"|^import "(\.[^"]+)"/gm)]
    .map((match) => normalize(join(dirname(path), match[1] ?? match[2] ?? "")))

const packagesOf = (path: string): ReadonlyArray<string> =>
  [...text(path).matchAll(/^import[^"]*?"([^."][^"]*)"/gm)].map((match) => match[1] ?? "")

/** `src/services/LedgerStore.ts` belongs to layer "services"; the folder right below src names it. */
const layerOf = (path: string) => path.split("/")[1] ?? ""

const stores = sources.filter((path) => /^src\/services\/\w+Store\.ts$/.test(path))
// How the audit log is written is the same for all; each bulkhead does it over its own connections.
const auditStore = "src/services/AuditStore.ts"
const bulkheadOf: ReadonlyArray<readonly [RegExp, string]> = [
  [/(Identity|Users|Passwords|AccessTokens|RefreshTokens)/, "identity"],
  [/(Ledger|Wallet)/, "wallet"],
  [/(Payment|Flag|Gateway|Settlement|Outgoing|Refund|Payout|Dispute|Reconciliation|Webhooks\.)/, "payments"],
  [/(Reward|Campaign)/, "rewards"],
  [/(Video|Upload|Verif|Verdict|Review|Media|Spool|Picture|Fingerprint|SeenBefore)/, "video"]
]
const bulkhead = (path: string) => bulkheadOf.find(([pattern]) => pattern.test(path.split("/").at(-1) ?? ""))?.[1]

const violations = (
  paths: ReadonlyArray<string>,
  allowed: (from: string, to: string) => boolean
): ReadonlyArray<string> =>
  paths.flatMap((from) => importsOf(from).filter((to) => !allowed(from, to)).map((to) => `${from} → ${to}`))

const inLayer = (layer: string) => sources.filter((path) => path.startsWith("src/") && layerOf(path) === layer)

describe("the import law", () => {
  it("lets domain import domain only", () => {
    assert.deepStrictEqual(violations(inLayer("domain"), (_, to) => layerOf(to) === "domain"), [])
  })

  it("lets services import domain and services only, and another bulkhead's store never", () => {
    assert.deepStrictEqual(
      violations(inLayer("services"), (from, to) =>
        layerOf(to) === "domain"
        || (layerOf(to) === "services" &&
          (!stores.includes(to) || to === auditStore || bulkhead(from) === bulkhead(to)))),
      []
    )
  })

  it("lets http import http, domain and services, and never a store", () => {
    assert.deepStrictEqual(
      violations(
        inLayer("http"),
        (_, to) => ["domain", "http"].includes(layerOf(to)) || (layerOf(to) === "services" && !bulkheadStore(to))
      ),
      []
    )
  })

  it("lets a contract import domain and the perimeter's types only", () => {
    const contracts = sources.filter((path) => /^src\/http\/\w+Api\.ts$/.test(path) && path !== "src/http/Api.ts")
    assert.isAtLeast(contracts.length, 5)
    assert.deepStrictEqual(
      violations(contracts, (_, to) => layerOf(to) === "domain" || to.startsWith("src/http/middleware/")),
      []
    )
  })

  it("keeps layers to layers and main", () => {
    const others = sources.filter((path) => !["layers", "main"].includes(layerOf(path)))
    assert.deepStrictEqual(violations(others, (_, to) => !to.startsWith("src/layers/")), [])
  })

  it("keeps the independent judge of the ledger free of the code it judges", () => {
    const model = tests.filter((path) => path.startsWith("test/model/"))
    assert.deepStrictEqual(violations(model, (_, to) => !to.startsWith("src/")), [])
  })

  it("keeps SQL in the stores, the queue and the checks of the books", () => {
    const withSql = sources.filter((path) => packagesOf(path).includes("effect/sql") && /\bsql`/.test(text(path)))
      .filter((path) => path.startsWith("src/"))
    const allowed = /^src\/(services\/(\w+Store|LedgerAudit)|layers\/\w+)\.ts$/
    assert.deepStrictEqual(withSql.filter((path) => !allowed.test(path)), [])
  })

  it("never lets a file both open a transaction and call the ledger", () => {
    const both = sources.filter((path) =>
      text(path).includes("withTransaction") && importsOf(path).includes("src/services/Ledger.ts")
    )
    assert.deepStrictEqual(both, [])
  })
})

// A store of keys is the perimeter's own, not a bulkhead's.
const bulkheadStore = (path: string) => stores.includes(path) && path !== "src/services/IdempotencyStore.ts"

describe("the bans", () => {
  const banned: ReadonlyArray<readonly [string, RegExp]> = [
    ["any", /(?::|<|\bas)\s*any\b/],
    ["Schema.Any", /\bSchema\.Any\b/],
    ["a cast", /[\w)\]}] as (?!const\b)[\w{([]/],
    ["a suppressed check", /@ts-(?:ignore|expect-error|nocheck)|oxlint-disable/],
    ["a non-null assertion", /\w!(?:\.|\[|\)|;|$)/m]
  ]
  // `import { A as B }` renames; SQL has its own AS; comments may use the word.
  const code = (path: string) =>
    text(path)
      .replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, "")
      .replace(/^import[\s\S]*?from/gm, "")
      .replace(/`[\s\S]*?`/g, "``")
      .replace(/"(?:[^"\\\n]|\\.)*"/g, "\"\"")

  for (const [name, pattern] of banned) {
    it(`has no ${name} in src`, () => {
      const found = sources.filter((path) => pattern.test(code(path)))
      assert.deepStrictEqual(found, [])
    })
  }

  it("takes time from the clock in domain, services and http", () => {
    const places = ["domain", "services", "http"].flatMap(inLayer)
    assert.deepStrictEqual(places.filter((path) => /\bnew Date\(|\bDate\.now\(|\bMath\.random\(/.test(code(path))), [])
  })

  it("reads the environment in layers and main only", () => {
    const places = ["domain", "services", "http"].flatMap(inLayer)
    assert.deepStrictEqual(
      places.filter((path) => /process\.env|\bConfig\./.test(code(path)) || packagesOf(path).includes("effect/Config")),
      []
    )
  })

  it("keeps every file to 250 lines", () => {
    const long = [...sources, ...tests].map((path) => [path, text(path).split("\n").length - 1] as const)
      .filter(([, lines]) => lines > 250)
    assert.deepStrictEqual(long, [])
  })
})
