import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { overload } from "./overload/Overload.ts"

const usage = `npm run test:overload -- [options]
A stepped run finds the capacity of one API process (10 % transfers, 45 % wallets, 45 % histories); three times as much is then offered. Ends
with 1 unless at least 80 % of the capacity is still served, payments are never turned away, the rest is 503 with a p99
of at most 250 ms, memory stays, and half the capacity is served whole within 5 s after. Wants a quiet machine.
  --seconds N   how long three times the capacity is offered (60)
  --first N     rate of the first step, a second (2000)
  --step N      by how much each step grows (1000)
  --profile DIR the server writes a profile of its processor time there`

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    first: { type: "string", default: "2000" },
    step: { type: "string", default: "1000" },
    profile: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const print = (text: string) => process.stdout.write(`${text}\n`)
const whole = (value: number) => value.toFixed(0)

const main = async () => {
  const folder = mkdtempSync(join(tmpdir(), "midnight-overload-"))
  try {
    const {
      capacity,
      memory: [early, late],
      offered,
      payments,
      paymentsP99,
      reads,
      recovery,
      refusedP99,
      strays,
      useful
    } = await overload({
      folder,
      steps: Array.from({ length: 12 }, (_, n) => Number(values.first) + n * Number(values.step)),
      stepSeconds: 5,
      seconds: Number(values.seconds),
      say: print,
      flags: values.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${values.profile}`]
    })
    print(`offered  ${whole(offered)}/s`)
    print(
      `payments ${whole(payments.good)}/s served, ${whole(payments.refused)}/s refused, p99 ${whole(paymentsP99)} ms`
    )
    print(`reads    ${whole(reads.good)}/s served, ${whole(reads.refused)}/s refused`)
    const claims: ReadonlyArray<readonly [boolean, string]> = [
      [
        useful >= 0.8 * capacity,
        `${whole(useful)}/s of ${whole(capacity)}/s still served: ${whole(useful / capacity * 100)} %`
      ],
      [payments.refused === 0 && payments.good >= 0.99 * 0.1 * offered, "every payment was served"],
      [reads.refused > 0 && refusedP99 <= 250, `the rest was refused, with a p99 of ${whole(refusedP99)} ms`],
      [late <= early * 1.1 + 16, `memory stayed: ${whole(early)} MiB early, ${whole(late)} MiB late`],
      [recovery <= 5, `all was served again ${recovery.toFixed(1)} s after`],
      [strays.size === 0, `nothing else was answered ${[...strays].join(" ")}`]
    ]
    for (const [holds, says] of claims) print(`${holds ? "✓" : "✗"} ${says}`)
    if (!claims.every(([holds]) => holds)) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

if (values.help) print(usage)
else await main()
