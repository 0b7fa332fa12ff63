import { assert, describe, it } from "@effect/vitest"
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach } from "vitest"
import { Amount } from "../../src/domain/Money.ts"
import { ChargeBook, type ChargeInput } from "../../src/layers/sandbox/ChargeBook.ts"

const input = (reference: string, amount = 500n): ChargeInput => ({
  amount: Amount.make(amount),
  currency: "NGN",
  reference
})

let folder = ""
let path = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "midnight-charges-"))
  path = join(folder, "charges.jsonl")
})
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))

const lines = () => readFileSync(path, "utf8").split("\n").filter((line) => line !== "")

describe("the sandbox's charges", () => {
  it("makes one charge per key, also for calls at once, and refuses the key for another charge", async () => {
    const book = new ChargeBook(path)
    const made = await Promise.all(Array.from({ length: 20 }, () => book.create("key", input("a"), 1)))
    assert.strictEqual(new Set(made.map((charge) => charge?.id)).size, 1)
    assert.isUndefined(await book.create("key", input("a", 501n), 1))
    assert.strictEqual(lines().length, 1)
    await book.close()
  })

  it("keeps the first outcome, whatever else is said at once or later", async () => {
    const book = new ChargeBook(path)
    const charge = await book.create("key", input("a"), 1)
    const outcomes = ["succeed", "fail", "abandon", "fail"] as const
    const settled = await Promise.all(outcomes.map((outcome) => book.settle(charge?.id ?? "", outcome, 2)))
    assert.deepStrictEqual([...new Set(settled.map((one) => one?.status))], ["succeeded"])
    assert.strictEqual((await book.settle(charge?.id ?? "", "fail", 3))?.status, "succeeded")
    assert.strictEqual(lines().length, 2)
    await book.close()
  })

  it("is the same after a kill: nothing is closed, and the last line may be half there", async () => {
    const killed = new ChargeBook(path)
    const paid = await killed.create("paid", input("a"), 1)
    const open = await killed.create("open", input("b"), 2)
    const told = await killed.create("told", input("c"), 3)
    await killed.settle(paid?.id ?? "", "succeed", 4)
    await killed.settle(told?.id ?? "", "fail", 5)
    await killed.delivered(told?.id ?? "")
    const before = [paid, open, told].map((charge) => killed.find(charge?.id ?? ""))
    appendFileSync(path, `{"kind":"settled","id":"${open?.id}","sta`)

    const book = new ChargeBook(path)
    assert.deepStrictEqual([paid, open, told].map((charge) => book.find(charge?.id ?? "")), before)
    assert.deepStrictEqual(book.undelivered().map(({ id }) => id), [paid?.id])
    assert.strictEqual((await book.create("open", input("b"), 9))?.id, open?.id)
    await book.close()
  })

  it("stays bounded in memory and on disk: the oldest charges make room", async () => {
    const book = new ChargeBook(path, 10)
    for (let n = 0; n < 100; n++) {
      const charge = await book.create(`key ${n}`, input(`charge ${n}`), n)
      await book.settle(charge?.id ?? "", "succeed", n)
    }
    assert.strictEqual(book.undelivered().length, 10)
    assert.isBelow(lines().length, 10 * 4 + 10 * 3)
    await book.close()
    const again = new ChargeBook(path, 10)
    assert.deepStrictEqual(
      again.undelivered().map(({ reference }) => reference),
      Array.from({ length: 10 }, (_, n) => `charge ${n + 90}`)
    )
    await again.close()
  })
})
