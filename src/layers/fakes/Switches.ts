import { Schema } from "effect"

const Probability = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 600_000 }))

/** What goes wrong at a fake provider, and how often: 0 never, 1 always. The same seed goes wrong the same way. */
export const Switches = Schema.Struct({
  seed: Schema.Int,
  /** Done, and answered late. */
  delay: Probability,
  /** Done, and never answered. */
  hang: Probability,
  /** Done, and the connection is cut instead of an answer. */
  resetAfterAccepting: Probability,
  /** Not done: 500. */
  serverError: Probability,
  /** Not done: 429. */
  rateLimit: Probability,
  webhookDelay: Probability,
  webhookDuplicate: Probability,
  /** Delivered after the event that follows it. */
  webhookReorder: Probability,
  /** Never delivered. */
  webhookLose: Probability,
  delayMillis: Millis,
  /** After this, what is pending ends well by itself; 0: only when it is told to. */
  settleAfterMillis: Millis
})
export type Switches = typeof Switches.Type

export const allWell: Switches = {
  seed: 1,
  delay: 0,
  hang: 0,
  resetAfterAccepting: 0,
  serverError: 0,
  rateLimit: 0,
  webhookDelay: 0,
  webhookDuplicate: 0,
  webhookReorder: 0,
  webhookLose: 0,
  delayMillis: 500,
  settleAfterMillis: 0
}

/** Some of the switches, as they are set over HTTP. */
export const decodeSwitches = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.Finite)),
  { onExcessProperty: "error" }
)

/**
 * One route that fails the next so many times: not done, and answered with the status; with 200, by a page of nothing. Before
 * that, so many calls as `cutFirst` are done and cut instead of an answer.
 */
const Trouble = Schema.Struct({
  route: Schema.String,
  status: Schema.Literals([200, 400, 429, 500]),
  times: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  cutFirst: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })))
})
export type TroubleStatus = typeof Trouble.Type.status
export const decodeTrouble = Schema.decodeUnknownOption(Schema.fromJsonString(Trouble), { onExcessProperty: "error" })

const decodeAll = Schema.decodeUnknownOption(Switches, { onExcessProperty: "error" })

type Fault = Exclude<keyof Switches, "seed" | "delayMillis" | "settleAfterMillis">

/** The switches of one provider, with the dice they are decided by. */
export class Faults {
  #switches: Switches
  #state: number
  readonly #troubles = new Map<string, { readonly status: TroubleStatus; times: number; cutFirst: number }>()

  constructor(switches: Switches) {
    this.#switches = switches
    this.#state = switches.seed
  }

  get switches(): Switches {
    return this.#switches
  }

  /** Changes some; false, and nothing changed, when one is not known or out of range. A new seed starts the dice anew. */
  set(changes: Readonly<Record<string, unknown>>): boolean {
    const next = decodeAll({ ...this.#switches, ...changes })
    if (next._tag === "None") return false
    this.#switches = next.value
    if ("seed" in changes) this.#state = next.value.seed
    return true
  }

  /** Whether it goes wrong this time. Nothing is thrown for a switch that is off. */
  happens(fault: Fault): boolean {
    const probability = this.#switches[fault]
    return probability > 0 && this.#throw() < probability
  }

  troubleAt({ cutFirst = 0, route, status, times }: typeof Trouble.Type): void {
    this.#troubles.set(route, { status, times, cutFirst })
  }

  /** What a call of this method and path is answered with, where that was arranged. */
  trouble(route: string): TroubleStatus | "cut" | undefined {
    const found = this.#troubles.get(route)
    if (found === undefined) return undefined
    if (found.cutFirst-- > 0) return "cut"
    return found.times-- > 0 ? found.status : undefined
  }

  /** A linear congruential generator: enough to choose, and the same on every machine. */
  #throw(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state / 2 ** 32
  }
}
