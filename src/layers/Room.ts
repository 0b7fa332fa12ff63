/** How many requests may be unanswered before one more of a class is turned away, and in what time the class wants its answers. */
export interface RoomLimits {
  readonly most: number
  /** Never less than this, however slow answers are: a room that is too small would keep the server idle. */
  readonly least: number
  /** Milliseconds that a request of the class should stay, on average. */
  readonly millis: number
}

const windowMillis = 100

/**
 * A limit that finds its figure by itself. As long as requests of the class take longer than they should, it becomes a tenth
 * smaller every tenth of a second; then it grows again. A pause that ends soon, such as a collection of garbage, costs little of it.
 *
 * No request is timed: how long they stay on average is what was inside at each moment, summed over time, divided by how many left.
 */
export class Room {
  readonly limits: RoomLimits
  /** Nothing to find out, and so nobody has to be counted. */
  readonly isFixed: boolean
  size: number
  private inside = 0
  private left = 0
  private stayed = 0
  private changed = 0
  private since = 0

  constructor(limits: RoomLimits) {
    this.limits = limits
    this.isFixed = limits.most === limits.least
    this.size = limits.most
  }

  private passed(now: number) {
    this.stayed += this.inside * (now - this.changed)
    this.changed = now
  }

  enter(now: number) {
    this.passed(now)
    this.inside += 1
    this.adapt(now)
  }

  leave(now: number) {
    this.passed(now)
    this.inside -= 1
    this.left += 1
    this.adapt(now)
  }

  /** Looks at what has passed since the last time, once that is enough to judge by. */
  adapt(now: number) {
    const millis = now - this.since
    if (this.isFixed || millis < windowMillis) return
    this.passed(now)
    const { least, millis: wanted, most } = this.limits
    // Where nobody left, those inside are what keeps everybody waiting.
    const mean = this.stayed / Math.max(1, this.left)
    this.size = mean > wanted
      ? Math.max(least, this.size * 0.9)
      : Math.min(most, this.size * 1.05 ** (millis / windowMillis))
    this.since = now
    this.left = 0
    this.stayed = 0
  }
}
