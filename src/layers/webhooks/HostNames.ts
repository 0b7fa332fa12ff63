import { Context, Data, Effect, Layer } from "effect"
import { Resolver } from "node:dns/promises"

export class NameNotFound extends Data.TaggedError("NameNotFound")<{ readonly host: string }> {}

/** Where a name leads. */
export class HostNames extends Context.Service<HostNames, {
  resolve(host: string): Effect.Effect<ReadonlyArray<string>, NameNotFound>
}>()("midnight/layers/webhooks/HostNames") {
  /**
   * Asks the name servers by itself, not by the system's call: that one blocks a thread of the four that all of Node shares,
   * and reads the machine's own table of hosts, whose names are nobody's business outside.
   */
  static readonly layer = Layer.succeed(HostNames, {
    resolve: (host) =>
      Effect.promise((signal) => {
        const resolver = new Resolver({ timeout: 2_000, tries: 2 })
        signal.addEventListener("abort", () => resolver.cancel())
        return Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
      }).pipe(
        Effect.map((answers) => answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : [])),
        Effect.filterOrFail((found) => found.length > 0, () => new NameNotFound({ host }))
      )
  })
}
