import { median, type Sample } from "./rounds.ts"

/** One line of the result. What was not measured has `pass: null` and a reason. */
export interface Row {
  readonly row: string
  readonly unit: string
  /** Medians over the rounds. */
  readonly ours: number | null
  readonly peer: number | null
  /** Median of the ratios of the rounds, and their range. Without a peer: null, and the range is that of ours. */
  readonly ratio: number | null
  readonly low: number | null
  readonly high: number | null
  readonly atLeast: number
  readonly goal: number
  /** Whether "at least" was reached. */
  readonly pass: boolean | null
  readonly reason?: string
}

interface Target {
  readonly unit: string
  readonly atLeast: number
  readonly goal: number
  /** A figure that has to stay below its target. */
  readonly most?: boolean
  readonly against?: string
}

/** The rows in their order, with the least that is asked of each and the goal. */
export const targets: ReadonlyMap<string, Target> = new Map([
  ["transfers/express", { unit: "transfers/s", atLeast: 8, goal: 12, against: "Express 5 + pg, BEGIN…COMMIT" }],
  ["transfers/pgbench", { unit: "transfers/s", atLeast: 1.5, goal: 3, against: "pgbench, six statements" }],
  ["transfers/pgbench-function", { unit: "transfers/s", atLeast: 1.2, goal: 2, against: "pgbench, one PL/pgSQL call" }],
  ["transfers/fastify", { unit: "transfers/s", atLeast: 2.2, goal: 4, against: "Fastify 5 + pg, one CTE" }],
  ["hot/express", { unit: "transfers/s", atLeast: 15, goal: 30, against: "Express 5 + pg, one hot account" }],
  ["hot/pgbench", { unit: "transfers/s", atLeast: 6, goal: 14, against: "pgbench, one hot account" }],
  ["transfers/p99", { unit: "ms", atLeast: 120, goal: 50, most: true }],
  ["connections/10k", { unit: "transfers/s", atLeast: 3_000, goal: 6_000 }],
  ["transfers/cpu", { unit: "µs", atLeast: 180, goal: 90, most: true }],
  ["wallet/express", { unit: "requests/s", atLeast: 1.5, goal: 2.5, against: "Express 5 + pg, the same query" }],
  ["limiter/wallet", { unit: "requests/s", atLeast: 0.8, goal: 0.9, against: "ours that counts nobody" }],
  ["tracing/1-percent", { unit: "transfers/s", atLeast: 0.8, goal: 0.9, against: "ours with tracing off" }],
  ["start", { unit: "s", atLeast: 5, goal: 2, most: true }],
  ["growth/10m", { unit: "transfers/s", atLeast: 0.8, goal: 1, against: "ours with an empty ledger" }]
])

const targetOf = (row: string): Target => {
  const target = targets.get(row)
  if (target === undefined) throw new Error(`There is no row ${row}.`)
  return target
}

const because = (reasons: ReadonlyArray<string>) => reasons.length === 0 ? {} : { reason: reasons.join("; ") }

export const skipped = (row: string, reason: string): Row => {
  const { atLeast, goal, unit } = targetOf(row)
  return { row, unit, ours: null, peer: null, ratio: null, low: null, high: null, atLeast, goal, pass: null, reason }
}

/** A row whose measurement broke off: it fails, and the others are kept. */
const brokenOff = (row: string, error: unknown): Row => ({
  ...skipped(row, `it broke off: ${error instanceof Error ? error.message : String(error)}`),
  pass: false
})

/** What a measurement gives, or its rows failed with the reason. */
export const orBroken = async <A>(
  rows: ReadonlyArray<string>,
  work: () => Promise<A>,
  given: (rows: ReadonlyArray<Row>) => A
): Promise<A> => {
  try {
    return await work()
  } catch (error) {
    return given(rows.map((row) => brokenOff(row, error)))
  }
}

/** What went wrong in a side's rounds, each kind once. */
export const errorsOf = (side: string, samples: ReadonlyArray<Sample>): ReadonlyArray<string> => [
  ...new Set(samples.filter(({ errors }) => errors !== "").map(({ errors }) => `${side}: ${errors}`))
]

const perSecond = (samples: ReadonlyArray<Sample>) => samples.map((sample) => sample.perSecond)

/**
 * Ours against a peer, round by round. Errors of ours, or books that do not balance, fail the row; a peer that answered nothing
 * in a round says nothing of ours.
 */
export const compared = (
  row: string,
  ours: ReadonlyArray<Sample>,
  peer: ReadonlyArray<Sample>,
  faults: ReadonlyArray<string>
): Row => {
  const { atLeast, goal, unit } = targetOf(row)
  const ratios = ours.map((sample, i) => sample.perSecond / (peer[i]?.perSecond ?? Number.NaN))
  const errors = errorsOf("ours", ours)
  const notes = errorsOf("peer", peer)
  if (!ratios.every(Number.isFinite)) return skipped(row, ["the peer answered nothing in a round", ...notes].join("; "))
  const ratio = median(ratios)
  return {
    row,
    unit,
    ours: median(perSecond(ours)),
    peer: median(perSecond(peer)),
    ratio,
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    atLeast,
    goal,
    pass: ratio >= atLeast && errors.length === 0 && faults.length === 0,
    ...because([...errors, ...notes, ...faults])
  }
}

/** A figure of ours alone, against its limit. */
export const alone = (
  row: string,
  values: ReadonlyArray<number>,
  faults: ReadonlyArray<string>,
  notes: ReadonlyArray<string> = []
): Row => {
  const { atLeast, goal, most, unit } = targetOf(row)
  const ours = median(values)
  return {
    row,
    unit,
    ours,
    peer: null,
    ratio: null,
    low: Math.min(...values),
    high: Math.max(...values),
    atLeast,
    goal,
    pass: (most === true ? ours <= atLeast : ours >= atLeast) && faults.length === 0,
    ...because([...faults, ...notes])
  }
}

/** 2 when the goal is reached, 1 when "at least" is, 0 when neither, undefined when it was skipped. */
export const standing = ({ atLeast, goal, ours, pass, ratio, row }: Row): 0 | 1 | 2 | undefined => {
  if (pass === null) return undefined
  if (!pass) return 0
  const value = ratio ?? ours ?? Number.NaN
  return (goal < atLeast ? value <= goal : value >= goal) && targets.has(row) ? 2 : 1
}
