import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { MediaEngineLive } from "../src/layers/media/Engine.ts"
import { describeMachine } from "./machine.ts"
import { type Cost, cost, ffmpegVersion } from "./video/cost.ts"
import { type Film, write } from "./video/film.ts"
import { find, type Found, isFound } from "./video/find.ts"
import { allLimits, type Limit } from "./video/limits.ts"

const usage = `npm run accuracy -- [options]

Films clips on both sides of every limit of every check, has the engine measure them and the rules judge them, and prints
the table. Then measures the processor time of a whole analysis against the ffmpeg command line with the same filters,
where that is installed. A few minutes.

  --part WHAT  limits or cost, to leave out the other
  --rounds N   rounds of the comparison with ffmpeg (5)
  --json FILE  write what was found
`
const { values } = parseArgs({
  options: {
    part: { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
    help: { type: "boolean", default: false }
  }
})
const print = (text: string) => process.stdout.write(`${text}\n`)

/** "At most 1.6 times the command line." */
const mostRatio = 1.6

const figure = (value: number | null) => value === null ? "not measured" : value.toFixed(2)

const line = ({ at, check, name, unit }: Limit, found: ReadonlyArray<Found>) => {
  const sides = found.map(({ measured, outcome, truth }) => `${figure(truth)} → ${figure(measured)} ${outcome}`)
  return `| \`${check}\` ${name} | ${figure(at)} ${unit} | ${sides.join(" | ")} | ${isFound(found) ? "yes" : "NO"} |`
}

const accuracy = Effect.fnUntraced(function*(folder: string) {
  print("| check | limit | clip below: true → measured | clip above: true → measured | limit found |")
  print("|---|--:|---|---|---|")
  const results: Array<{ readonly limit: string; readonly found: ReadonlyArray<Found> }> = []
  for (const limit of allLimits) {
    const found = yield* find(limit, join(folder, "side"))
    print(line(limit, found))
    results.push({ limit: `${limit.check} ${limit.name}`, found })
  }
  return results
})

const phone: Omit<Film, "path"> = {
  encoding: "h264",
  seed: 9,
  frames: 600,
  fps: 30,
  width: 1280,
  height: 720,
  shows: () => "scene",
  voice: () => 0.4
}

const costs = Effect.fnUntraced(function*(folder: string, rounds: number) {
  const version = yield* Effect.promise(ffmpegVersion)
  if (version === undefined) {
    print("\nSKIPPED: the cost. There is no ffmpeg command line here to compare with (apt-get install ffmpeg).")
    return []
  }
  print(`\n| 20 s, 1280x720, 30 per s | engine, s | ffmpeg ${version}, s | ffmpeg on every frame, s | ratio | range |`)
  print("|---|--:|--:|--:|--:|--:|")
  const measured: Array<Cost> = []
  for (const encoding of ["h264", "h264 poor", "vp8"] as const) {
    const path = join(folder, "phone")
    yield* Effect.promise(() => write({ ...phone, encoding, path }))
    const one = yield* cost(encoding, path, rounds)
    const [ours, ffmpeg, every] = [one.ours, one.ffmpeg, one.everyFrame].map(figure)
    print(
      `| ${encoding} | ${ours} | ${ffmpeg} | ${every} | ${figure(one.ratio)} | ${figure(one.low)}–${figure(one.high)} |`
    )
    measured.push(one)
  }
  return measured
})

const program = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "midnight-accuracy-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const limits = values.part === "cost" ? [] : yield* accuracy(folder)
  const cost = values.part === "limits" ? [] : yield* costs(folder, Number(values.rounds))
  const machine = describeMachine()
  print(`\n${new Date().toISOString().slice(0, 10)}; ${machine.processor}, ${machine.cores} cores, ${machine.system}.`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, limits, cost }, null, 2)}\n`)
  return limits.every(({ found }) => isFound(found)) && cost.every(({ ratio }) => ratio <= mostRatio)
}).pipe(Effect.scoped, Effect.provide(MediaEngineLive.layer()))

if (values.help || ![undefined, "limits", "cost"].includes(values.part)) print(usage)
else process.exitCode = await Effect.runPromise(program) ? 0 : 1
