import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { afterAll, beforeAll } from "vitest"

// A route that moves money, declared with some of its middlewares, and served: what is missing must not compile.
const route = (middlewares: ReadonlyArray<string>) => `
import { Effect, Layer } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { Admission } from "../../src/http/middleware/Admission.ts"
import { Authorization } from "../../src/http/middleware/Authorization.ts"
import { Idempotency } from "../../src/http/middleware/Idempotency.ts"
import { RateLimit } from "../../src/http/middleware/RateLimit.ts"
export const all = [Admission, Authorization, Idempotency, RateLimit]
const pay = HttpApiEndpoint.post("pay", "/pay", { success: HttpApiSchema.NoContent })${
  middlewares.map((name) => `.middleware(${name})`).join("")
}
const api = HttpApi.make("api").add(HttpApiGroup.make("money").add(pay))
const handlers = HttpApiBuilder.group(api, "money", (h) => h.handle("pay", () => Effect.asVoid(MoneyRequest)))
type Open = Layer.Services<typeof handlers>
type Middlewares = Authorization | RateLimit | Admission | Idempotency
export const closed: [Exclude<Open, Middlewares>] extends [never] ? true : false = true
`

const supervised = `
import { Effect, type Layer } from "effect"
import { supervised } from "../../src/layers/Supervision.ts"
export const failing = supervised("video", "part", Effect.fail("anything"))
export const neverFails: [Layer.Error<typeof failing>] extends [never] ? true : false = true
`

const files = {
  "full.ts": route(["Idempotency", "Admission", "RateLimit", "Authorization"]),
  "without-idempotency.ts": route(["Admission", "RateLimit", "Authorization"]),
  "without-admission.ts": route(["Idempotency", "RateLimit", "Authorization"]),
  "without-rate-limit.ts": route(["Idempotency", "Admission", "Authorization"]),
  "without-authorization.ts": route(["Idempotency", "Admission", "RateLimit"]),
  "supervised.ts": supervised
}

const root = resolve(import.meta.dirname, "../..")
let folder = ""
let output = ""

beforeAll(async () => {
  // Not among the tests: who reads that folder meanwhile, as the test of the import law does, would find this one and then miss it.
  const place = join(root, ".test-types")
  await mkdir(place, { recursive: true })
  folder = await mkdtemp(join(place, "types-"))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const project = { extends: "../../tsconfig.json", include: ["*.ts"] }
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(project))
  output = await new Promise((done) =>
    execFile(join(root, "node_modules/.bin/tsc"), ["--noEmit", "-p", folder], { cwd: root }, (_, out) => done(out))
  )
})

afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))

const complaints = (name: string) => output.split("\n").filter((line) => line.includes(`/${name}(`))

describe("the typed perimeter", () => {
  it("serves a money route that has every middleware", () => {
    assert.deepStrictEqual(complaints("full.ts"), [])
  })

  for (const name of ["idempotency", "admission", "rate-limit", "authorization"]) {
    it(`does not compile a money route without ${name}`, () => {
      assert.match(complaints(`without-${name}.ts`).join("\n"), /'true' is not assignable to type 'false'/)
    })
  }

  it("gives a supervised layer the error channel never, whatever its task fails with", () => {
    assert.deepStrictEqual(complaints("supervised.ts"), [])
  })
})
