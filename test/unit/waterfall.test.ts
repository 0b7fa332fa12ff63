import { assert, describe, it } from "@effect/vitest"
import type { SpanRecord } from "../../src/layers/telemetry/SpanRecord.ts"
import { ofRequest } from "../../src/layers/telemetry/SpanStore.ts"
import { draw, duration } from "../../src/layers/telemetry/Waterfall.ts"

const began = Date.UTC(2026, 0, 2, 3, 4, 5) * 1000

/** A span of trace "t" by default; times in milliseconds after the trace began. */
const span = (spanId: string, start: number, length: number, rest: Partial<SpanRecord> = {}): SpanRecord => ({
  traceId: "t",
  spanId,
  name: spanId,
  kind: "internal",
  service: "api",
  pid: 1,
  start: began + start * 1000,
  end: began + (start + length) * 1000,
  attributes: {},
  links: [],
  ...rest
})

const request = span("POST /api/video/verify", 0, 100, { attributes: { "midnight.request_id": "r1" } })
const hold = span("Ledger.hold", 20, 40, { parentSpanId: request.spanId })
const run = span("Verification.run", 200, 800, { parentSpanId: hold.spanId, service: "video", pid: 2 })
const failed = span("Media.inspect", 300, 500, {
  parentSpanId: run.spanId,
  service: "video",
  pid: 2,
  error: "the child was killed"
})

const body = (lines: ReadonlyArray<string>) => lines.filter((line) => /^(api|video) /.test(line))

describe("the waterfall", () => {
  it("draws the tree, the bars on one scale, the times and what failed", () => {
    assert.deepStrictEqual(draw([failed, run, hold, request], { width: 80, requestId: "r1" }), [
      "request r1",
      "trace   t",
      "began   2026-01-02T03:04:05.000Z",
      "1.00 s · 4 spans · 2 processes · 1 error",
      "",
      "                             0 ms    200 ms  400 ms  600 ms  800 ms  ",
      "                             ├───────┬───────┬───────┬───────┬──────┤",
      "api   POST /api/video/verify ████····································     100 ms",
      "api   └ Ledger.hold          █▋······································    40.0 ms",
      "video   └ Verification.run   ········████████████████████████████████     800 ms",
      "video     └ Media.inspect    ············████████████████████········   ✗ 500 ms",
      "",
      "✗ Media.inspect: the child was killed"
    ])
  })

  it("fills the width it is given, from 80 to 140 columns", () => {
    const long = span(
      "A.name that is much longer than any column could ever be, whatever the width of the terminal",
      0,
      9
    )
    for (const width of [80, 97, 110, 140]) {
      for (const line of body(draw([request, hold, run, failed, long], { width }))) {
        assert.strictEqual(line.length, width)
      }
    }
  })

  it("hangs a span of another trace under the span it links to", () => {
    const batch = span("LedgerWriter.batch", 30, 5, { traceId: "u", links: [{ traceId: "t", spanId: hold.spanId }] })
    const commit = span("COMMIT", 32, 2, { traceId: "u", parentSpanId: batch.spanId })
    const names = body(draw([request, hold, batch, commit], { width: 100 })).map((line) => line.slice(4, 26).trimEnd())
    assert.deepStrictEqual(names, ["POST /api/video/verify", "└ Ledger.hold", "  └ ↪ LedgerWriter.bat", "    └ COMMIT"])
  })

  it("keeps a span whose parent died before it could be recorded, and marks it", () => {
    const lines = body(draw([request, span("Left.over", 50, 10, { parentSpanId: "never written" })], { width: 80 }))
    assert.include(lines[1], "⋯ Left.over")
  })

  it("draws many equal siblings as one line and a failed one on its own", () => {
    const query = (at: number, error?: string) =>
      span(`q${at}`, at, 1, { name: "query", parentSpanId: request.spanId, ...(error === undefined ? {} : { error }) })
    const lines = body(
      draw([request, ...[1, 2, 3, 4, 5].map((at) => query(at)), query(6, "gone"), query(7)], { width: 80 })
    )
    assert.deepStrictEqual(lines.map((line) => line.slice(4, 24).trimEnd()), [
      "POST /api/video/veri",
      "├ query × 5",
      "├ query",
      "└ query"
    ])
    assert.include(lines[2], "✗")
  })

  it("ends when links form a circle", () => {
    const one = span("one", 0, 9, { traceId: "a", links: [{ traceId: "b", spanId: "two" }] })
    const two = span("two", 1, 9, { traceId: "b", links: [{ traceId: "a", spanId: "one" }] })
    assert.deepStrictEqual(body(draw([one, two], { width: 80 })).map((line) => line.slice(4, 12).trimEnd()), [
      "⋯ one",
      "└ ↪ two"
    ])
  })

  it("colours only when asked", () => {
    assert.notInclude(draw([request, failed], { width: 80 }).join(""), "\u001b")
    assert.include(draw([request, failed], { width: 80, colour: true }).join(""), "\u001b[31m")
  })

  it("shows a span of no length, and a trace that is nothing else", () => {
    assert.include(draw([span("instant", 0, 0)], { width: 80 }).join("\n"), "▏")
    assert.deepStrictEqual(draw([], { width: 80 }), ["No spans."])
  })

  it("writes durations with three digits in the unit that suits", () => {
    assert.deepStrictEqual(
      [0, 7, 999, 1000, 12_345, 999_499, 999_500, 2_410_000, 185_000_000].map(duration),
      ["0 ms", "7 µs", "999 µs", "1.00 ms", "12.3 ms", "999 ms", "1.00 s", "2.41 s", "3 m 05 s"]
    )
  })
})

describe("the spans of a request", () => {
  it("are its trace and what links to it, without the other requests of a shared batch", () => {
    const other = span("other", 0, 5, { traceId: "o", attributes: { "midnight.request_id": "r2" } })
    const shared = span("batch", 1, 2, {
      traceId: "u",
      links: [{ traceId: "t", spanId: hold.spanId }, { traceId: "o", spanId: "other" }]
    })
    const beneath = span("commit", 1, 1, { traceId: "u", parentSpanId: "batch" })
    const beside = span("beside", 1, 1, { traceId: "u" })
    const found = ofRequest([beneath, beside, shared, other, run, hold, request], "r1")
    assert.deepStrictEqual(found.map(({ name }) => name).sort(), [
      "Ledger.hold",
      "POST /api/video/verify",
      "Verification.run",
      "batch",
      "commit"
    ])
    assert.deepStrictEqual(ofRequest([request], "r9"), [])
  })
})
