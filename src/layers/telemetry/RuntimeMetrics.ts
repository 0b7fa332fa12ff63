import { Effect, Layer, Metric } from "effect"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"

const gauge = (name: string, description: string, unit: string) =>
  Metric.gauge(name, { description, attributes: { unit } })

const delayMean = gauge("nodejs.eventloop.delay.mean", "Mean delay of the event loop since the last sample", "s")
const delayP99 = gauge("nodejs.eventloop.delay.p99", "99th percentile of the same", "s")
const utilization = gauge("nodejs.eventloop.utilization", "Share of time the event loop was busy", "1")
const heapUsed = gauge("v8js.memory.heap.used", "Heap in use", "By")
const resident = gauge("process.memory.usage", "Resident memory", "By")
const cpu = gauge("process.cpu.time", "Processor time used, user and system", "s")

/** What tells a busy process from a slow dependency: the event loop, the heap, the processor. Sampled every ten seconds. */
export const layer: Layer.Layer<never> = Layer.effectDiscard(
  Effect.gen(function*() {
    const delay = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const histogram = monitorEventLoopDelay({ resolution: 20 })
        histogram.enable()
        return histogram
      }),
      (histogram) => Effect.sync(() => histogram.disable())
    )
    let last = performance.eventLoopUtilization()
    const sample = Effect.suspend(() => {
      const busy = performance.eventLoopUtilization(last)
      last = performance.eventLoopUtilization()
      const memory = process.memoryUsage()
      const { system, user } = process.cpuUsage()
      const values = [
        Metric.update(delayMean, Number.isNaN(delay.mean) ? 0 : delay.mean / 1e9),
        Metric.update(delayP99, delay.percentile(99) / 1e9),
        Metric.update(utilization, busy.utilization),
        Metric.update(heapUsed, memory.heapUsed),
        Metric.update(resident, memory.rss),
        Metric.update(cpu, (system + user) / 1e6)
      ]
      delay.reset()
      return Effect.all(values, { discard: true })
    })
    yield* sample.pipe(Effect.andThen(Effect.sleep("10 seconds")), Effect.forever, Effect.forkScoped)
  })
)
