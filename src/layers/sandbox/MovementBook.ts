import { Option, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { Amount, Currency } from "../../domain/Money.ts"
import { Journal } from "./Journal.ts"

const Status = Schema.Literals(["pending", "succeeded", "failed", "processing", "paid"])
const Word = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(255))

const Movement = Schema.Struct({
  kind: Schema.Literals(["refund", "payout"]),
  id: Schema.String,
  /** The Idempotency-Key that it was made under. */
  key: Word,
  /** The charge that is refunded, or the recipient that is paid. */
  subject: Word,
  reference: Word,
  amount: Amount,
  currency: Currency,
  status: Status,
  failureReason: Schema.NullOr(Schema.String),
  createdAt: Schema.Int
})
export type Movement = typeof Movement.Type
type Asked = Omit<Movement, "id" | "status" | "failureReason">

const Line = Schema.fromJsonString(Movement)
const encode = Schema.encodeSync(Line)
const decode = Schema.decodeOption(Line)

const same = (a: Asked, b: Movement) =>
  a.kind === b.kind && a.subject === b.subject && a.amount === b.amount && a.currency === b.currency
  && a.reference === b.reference

/** How a payout goes is told by the last four digits of where it goes, so that people can try each way. */
const outcomeOf = ({ kind, subject }: Asked): Pick<Movement, "status" | "failureReason"> => {
  if (kind === "refund") return { status: "succeeded", failureReason: null }
  if (subject.endsWith("_0001")) return { status: "failed", failureReason: "account_closed" }
  return { status: subject.endsWith("_0002") ? "processing" : "paid", failureReason: null }
}

/** The sandbox's refunds and payouts: in memory, and in a journal, like its charges. */
export class MovementBook {
  readonly #movements = new Map<string, Movement>()
  readonly #byKey = new Map<string, string>()
  readonly #making = new Map<string, Promise<Movement>>()
  /** What of each charge is refunded, counted from the moment that a refund is begun. */
  readonly #refunded = new Map<string, bigint>()
  readonly #journal: Journal
  readonly #most: number

  constructor(path: string, most = 100_000) {
    this.#most = most
    this.#journal = new Journal(path, most * 3, () => [...this.#movements.values()].map((movement) => encode(movement)))
    this.#journal.replay((line) => {
      const movement = decode(line)
      if (Option.isNone(movement)) return
      const { amount, id, kind, subject } = movement.value
      if (kind === "refund" && !this.#movements.has(id)) this.#count(subject, amount)
      this.#keep(movement.value)
    })
  }

  find(kind: Movement["kind"], id: string): Movement | undefined {
    const movement = this.#movements.get(id)
    return movement?.kind === kind ? movement : undefined
  }

  /** Oldest first. */
  all(kind: Movement["kind"]): ReadonlyArray<Movement> {
    return [...this.#movements.values()].filter((movement) => movement.kind === kind)
  }

  /** `most` is what may be refunded of the charge in all. */
  async create(asked: Asked, most: bigint): Promise<Movement | "key_reused" | "too_large"> {
    const known = this.#movements.get(this.#byKey.get(asked.key) ?? "") ?? await this.#making.get(asked.key)
    if (known !== undefined) return same(asked, known) ? known : "key_reused"
    if (asked.kind === "refund") {
      if ((this.#refunded.get(asked.subject) ?? 0n) + asked.amount > most) return "too_large"
      this.#count(asked.subject, asked.amount)
    }
    const prefix = asked.kind === "refund" ? "re" : "po"
    const movement = { ...asked, ...outcomeOf(asked), id: `${prefix}_${randomBytes(12).toString("hex")}` }
    const making = this.#write(movement).finally(() => this.#making.delete(asked.key))
    this.#making.set(asked.key, making)
    return making
  }

  /** Ends a payout that waits; one that has ended stays as it is. */
  async settle(id: string, outcome: "pay" | "fail"): Promise<Movement | undefined> {
    const payout = this.find("payout", id)
    if (payout === undefined || payout.status !== "processing") return payout
    return this.#write({
      ...payout,
      ...(outcome === "pay" ? { status: "paid", failureReason: null } : { status: "failed", failureReason: "returned" })
    })
  }

  close(): Promise<void> {
    return this.#journal.close()
  }

  async #write(movement: Movement): Promise<Movement> {
    await this.#journal.append(encode(movement), () => this.#keep(movement))
    return movement
  }

  #count(charge: string, amount: bigint): void {
    this.#refunded.set(charge, (this.#refunded.get(charge) ?? 0n) + amount)
  }

  #keep(movement: Movement): void {
    const [oldest] = this.#movements.values()
    if (this.#movements.size >= this.#most && oldest !== undefined && !this.#movements.has(movement.id)) {
      this.#movements.delete(oldest.id)
      this.#byKey.delete(oldest.key)
      this.#refunded.delete(oldest.subject)
    }
    this.#movements.set(movement.id, movement)
    this.#byKey.set(movement.key, movement.id)
  }
}
