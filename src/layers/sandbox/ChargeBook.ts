import { Option, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { Amount, Currency } from "../../domain/Money.ts"
import { Journal } from "./Journal.ts"

export const Outcome = Schema.Literals(["succeed", "fail", "abandon"])
export type Outcome = typeof Outcome.Type

const Settled = Schema.Literals(["succeeded", "failed", "canceled"])
const statusOf = { succeed: "succeeded", fail: "failed", abandon: "canceled" } as const

export const ChargeInput = Schema.Struct({
  amount: Amount,
  currency: Currency,
  reference: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(255)),
  returnUrl: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(2048), Schema.isPattern(/^https?:\/\//)))
})
export type ChargeInput = typeof ChargeInput.Type

const Created = Schema.Struct({
  kind: Schema.Literal("created"),
  id: Schema.String,
  key: Schema.String,
  at: Schema.Int,
  input: ChargeInput
})
const Line = Schema.fromJsonString(Schema.Union([
  Created,
  Schema.Struct({ kind: Schema.Literal("settled"), id: Schema.String, status: Settled, at: Schema.Int }),
  Schema.Struct({ kind: Schema.Literal("delivered"), id: Schema.String })
]))
const encode = Schema.encodeSync(Line)
const decode = Schema.decodeOption(Line)

export interface Charge extends ChargeInput {
  readonly id: string
  /** The Idempotency-Key that it was made under. */
  readonly key: string
  readonly createdAt: number
  readonly status: "requires_action" | typeof Settled.Type
  readonly settledAt: number | undefined
  /** Whether the receiver has acknowledged the event that it was settled. */
  readonly delivered: boolean
}

const linesOf = (charge: Charge): ReadonlyArray<string> => {
  const { createdAt, delivered, id, key, settledAt, status, ...input } = charge
  return [
    encode({ kind: "created", id, key, at: createdAt, input }),
    ...(status === "requires_action" ? [] : [encode({ kind: "settled", id, status, at: settledAt ?? createdAt })]),
    ...(delivered ? [encode({ kind: "delivered", id })] : [])
  ]
}

const same = (a: ChargeInput, b: ChargeInput) =>
  a.amount === b.amount && a.currency === b.currency && a.reference === b.reference && a.returnUrl === b.returnUrl

/**
 * The sandbox's charges: in memory, and in a journal that a killed process is rebuilt from. Nobody is told of a charge or
 * of its outcome before it is on disk. The oldest charges make room when there are too many.
 */
export class ChargeBook {
  readonly #charges = new Map<string, Charge>()
  readonly #byKey = new Map<string, string>()
  readonly #creating = new Map<string, Promise<Charge>>()
  readonly #settling = new Map<string, Promise<void>>()
  readonly #journal: Journal
  readonly #most: number

  constructor(path: string, most = 100_000) {
    this.#most = most
    this.#journal = new Journal(path, most * 4, () => [...this.#charges.values()].flatMap(linesOf))
    this.#journal.replay((line) => this.#apply(line))
  }

  find(id: string): Charge | undefined {
    return this.#charges.get(id)
  }

  /** Oldest first. */
  all(): ReadonlyArray<Charge> {
    return [...this.#charges.values()]
  }

  undelivered(): ReadonlyArray<Charge> {
    return [...this.#charges.values()].filter((charge) => charge.settledAt !== undefined && !charge.delivered)
  }

  /** The charge of that key; undefined when the key was used for another charge. */
  async create(key: string, input: ChargeInput, at: number): Promise<Charge | undefined> {
    const known = this.find(this.#byKey.get(key) ?? "")
    const making = known === undefined ? this.#creating.get(key) ?? this.#make(key, input, at) : known
    const charge = await making
    return same(charge, input) ? charge : undefined
  }

  /** The charge as it stands then: an outcome that came first stays. */
  async settle(id: string, outcome: Outcome, at: number): Promise<Charge | undefined> {
    const charge = this.find(id)
    if (charge === undefined || charge.status !== "requires_action") return charge
    const running = this.#settling.get(id)
      ?? this.#append(encode({ kind: "settled", id, status: statusOf[outcome], at })).finally(() =>
        this.#settling.delete(id)
      )
    this.#settling.set(id, running)
    await running
    return this.find(id)
  }

  delivered(id: string): Promise<void> {
    return this.find(id) === undefined ? Promise.resolve() : this.#append(encode({ kind: "delivered", id }))
  }

  close(): Promise<void> {
    return this.#journal.close()
  }

  #make(key: string, input: ChargeInput, at: number): Promise<Charge> {
    // Whoever knows a charge's id may pay it: it is as hard to guess as a key.
    const id = `ch_${randomBytes(18).toString("base64url")}`
    const making = this.#append(encode({ kind: "created", id, key, at, input })).then(() => {
      const charge = this.find(id)
      if (charge === undefined) throw new Error("the charge was not kept")
      return charge
    }).finally(() => this.#creating.delete(key))
    this.#creating.set(key, making)
    return making
  }

  #append(line: string): Promise<void> {
    return this.#journal.append(line, () => this.#apply(line))
  }

  /** A line that does not decode is half a line of a process that was killed while writing: nobody was told of it. */
  #apply(line: string): void {
    const decoded = decode(line)
    if (Option.isNone(decoded)) return
    const entry = decoded.value
    if (entry.kind === "created") {
      const { at, id, input, key } = entry
      if (this.#charges.size >= this.#most) this.#evict()
      this.#charges.set(id, {
        ...input,
        id,
        key,
        createdAt: at,
        status: "requires_action",
        settledAt: undefined,
        delivered: false
      })
      this.#byKey.set(key, id)
      return
    }
    const charge = this.#charges.get(entry.id)
    if (charge === undefined) return
    this.#charges.set(
      entry.id,
      entry.kind === "settled"
        ? { ...charge, status: entry.status, settledAt: entry.at }
        : { ...charge, delivered: true }
    )
  }

  #evict(): void {
    for (const [id, { key }] of this.#charges) {
      this.#charges.delete(id)
      this.#byKey.delete(key)
      return
    }
  }
}
