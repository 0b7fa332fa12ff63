// The corpus in its long form: a hundred seeds of flipped bits, forty cuts of each container. Prints what became of each file.
import { Console, Effect, Logger } from "effect"
import { ordinaryEngine } from "../layers/ordinaryEngine.ts"
import { faultsOf, type Row, runCorpus } from "./Run.ts"

const failing = ({ checks }: Row) =>
  checks.filter(({ measured, outcome }) => outcome !== "pass" && measured !== "not measured").map(({ name }) => name)

const line = (row: Row) =>
  [
    row.name.padEnd(36),
    row.findings.padEnd(14),
    row.outcome.padEnd(13),
    `${row.cpuSeconds.toFixed(2)} s`.padStart(7),
    `${(row.peakBytes / 1e6).toFixed(0)} MB`.padStart(7),
    ` ${failing(row).join(", ")}`
  ].join(" ")

const caught = (rows: ReadonlyArray<Row>, kind: RegExp) => {
  const of = rows.filter(({ name }) => kind.test(name))
  return `${of.filter(({ outcome }) => outcome !== "approved").length} of ${of.length}`
}

const main = Effect.gen(function*() {
  const run = yield* runCorpus({ seeds: 100, cuts: 40 })
  yield* Console.log(`${"file".padEnd(36)} findings       outcome       CPU     memory  checks not passed`)
  yield* Effect.forEach(run.rows, (row) => Console.log(line(row)), { discard: true })
  const most = (of: (row: Row) => number) => Math.max(...run.rows.map(of))
  yield* Console.log(
    `\n${run.rows.length} files; at most ${most(({ cpuSeconds }) => cpuSeconds).toFixed(1)} s of processor, `
      + `${(most(({ peakBytes }) => peakBytes) / 1e6).toFixed(0)} MB, ${
        most(({ wallSeconds }) => wallSeconds).toFixed(1)
      } s`
      + `\nflipped bits noticed: H.264 and AAC ${caught(run.rows, /^flipped.*mp4$/)}, VP8 and Opus ${
        caught(run.rows, /^flipped.*webm$/)
      }; cuts noticed: ${caught(run.rows, /^cut-at/)}`
  )
  const faults = faultsOf(run)
  yield* Effect.forEach(faults, (fault) => Console.log(`FAULT ${fault}`), { discard: true })
  yield* Console.log(faults.length === 0 ? "no faults" : `${faults.length} faults`)
  return faults.length === 0 ? 0 : 1
})

process.exitCode = await Effect.runPromise(
  main.pipe(Effect.provide(ordinaryEngine), Effect.provide(Logger.layer([])))
)
