import type { Faults } from "./Switches.ts"

/** The headers that prove where a body comes from, made anew for each delivery. */
export type Sign = (body: string) => Readonly<Record<string, string>>

const attempts = 12
const firstRetryMillis = 200

/** Delivers events until they are acknowledged, in the order and number that the switches allow. */
export class Deliveries {
  readonly #sign: Sign
  readonly #faults: Faults
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #sent: Array<string> = []
  #held: string | undefined
  /** Where events go; nowhere while it is undefined. */
  url: string | undefined
  #closed = false

  constructor(url: string | undefined, sign: Sign, faults: Faults) {
    this.url = url
    this.#sign = sign
    this.#faults = faults
  }

  /** Every event that there was, lost ones too. */
  get sent(): ReadonlyArray<string> {
    return this.#sent
  }

  send(event: object): void {
    const body = JSON.stringify(event)
    this.#sent.push(body)
    if (this.#sent.length > 10_000) this.#sent.shift()
    if (this.#faults.happens("webhookLose")) return
    if (this.#faults.happens("webhookReorder") && this.#held === undefined) {
      this.#held = body
      // Where nothing follows, it comes late.
      this.#later(this.#faults.switches.delayMillis, () => this.#release())
      return
    }
    this.#start(body)
    this.#release()
  }

  /** Delivers a body once more, as a provider does whose first delivery was acknowledged too late. */
  again(body: string): void {
    this.#attempt(body, 0)
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#start(held)
  }

  #start(body: string): void {
    const copies = this.#faults.happens("webhookDuplicate") ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const wait = this.#faults.happens("webhookDelay") ? this.#faults.switches.delayMillis : 0
      if (wait === 0) this.#attempt(body, 0)
      else this.#later(wait, () => this.#attempt(body, 0))
    }
  }

  #attempt(body: string, failures: number): void {
    const { url } = this
    if (url === undefined || this.#closed || failures >= attempts) return
    const again = () =>
      this.#later(Math.min(10_000, firstRetryMillis * 2 ** failures), () => this.#attempt(body, failures + 1))
    this.#deliver(url, body).then((acknowledged) => acknowledged || again(), again)
  }

  async #deliver(url: string, body: string): Promise<boolean> {
    const answer = await fetch(url, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...this.#sign(body) },
      signal: AbortSignal.timeout(10_000),
      redirect: "manual"
    })
    await answer.arrayBuffer()
    return answer.ok
  }

  #later(millis: number, act: () => void): void {
    if (this.#closed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, millis)
    this.#timers.add(timer)
  }
}
