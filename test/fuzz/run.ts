import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { openStage } from "../chaos/isolation/Stage.ts"
import { fuzz, type FuzzReport } from "./Fuzz.ts"

const usage = `npm run test:fuzz -- [options]
Random and malformed requests, drawn from /openapi.json, to a real server; every answer is judged by that document.
  --requests N     how many that are not answered 429 (20000)
  --seed N         the choices of an earlier run (random)
  --concurrency N  requests at once (8); 1 brings back the order of an earlier run, too
Ends with 1 when an answer was of the 5xx class or not as the document says.`

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "20000" },
    seed: { type: "string" },
    concurrency: { type: "string", default: "8" },
    help: { type: "boolean", default: false }
  }
})

const print = (
  { counted, findings, operations, reached, sent, statuses }: FuzzReport,
  seed: number,
  seconds: number
) => {
  console.log(`${sent} sent in ${seconds.toFixed(0)} s, ${counted} of them not answered 429`)
  console.log(`${reached} of ${operations} operations gave an answer below 400`)
  console.log([...statuses].sort(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`).join("   "))
  const kinds = Map.groupBy(
    findings,
    ({ complaint }) => complaint.replaceAll(/"(request_id|trace_id|instance)":"[^"]*"/g, "").slice(0, 160)
  )
  for (const [kind, some] of kinds) {
    console.log(`✗ ${some.length} × ${kind}`)
    for (const { complaint, number, request } of some.slice(0, 2)) {
      console.log(`  request ${number}: ${complaint}\n${request}\n`)
    }
  }
  console.log(
    findings.length === 0
      ? "✓ No 5xx, and every answer is as the document says."
      : `✗ Again with: npm run test:fuzz -- --seed ${seed}`
  )
}

const main = async () => {
  if (values.help) return console.log(usage)
  const requests = Number(values.requests)
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000_000))
  console.log(`seed ${seed}`)
  const folder = mkdtempSync(join(tmpdir(), "midnight-fuzz-"))
  const stage = await openStage(folder)
  try {
    const began = performance.now()
    const report = await fuzz(stage, {
      seed,
      requests,
      concurrency: Number(values.concurrency),
      onProgress: (counted) => {
        if (!process.stdout.isTTY || counted % 50 !== 0) return
        const bar = "█".repeat(Math.min(30, Math.round(counted / requests * 30))).padEnd(30, "░")
        process.stdout.write(counted >= requests ? "\r\u001b[K" : `\r${bar} ${counted} of ${requests} `)
      }
    })
    print(report, seed, (performance.now() - began) / 1_000)
    if (report.findings.length > 0) process.exitCode = 1
  } finally {
    await stage.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

await main()
