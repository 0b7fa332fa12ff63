import { Config, Effect, Layer } from "effect"

/**
 * A supervised process ends with its supervisor, however that one ended: the supervisor holds the other end of standard
 * input (see Processes), and the kernel closes it even after SIGKILL. Without this, orphans would keep the ports. An
 * orderly stop comes as SIGTERM, before the pipe closes; does nothing where nobody supervises.
 */
export const ParentWatch = Layer.effectDiscard(
  Effect.gen(function*() {
    const supervised = yield* Config.Boolean("MIDNIGHT_SUPERVISED").pipe(Config.withDefault(false))
    if (!supervised) return
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const leave = () => process.exit(1)
        process.stdin.once("end", leave).once("close", leave).once("error", leave).resume()
        return leave
      }),
      (leave) =>
        Effect.sync(() => {
          process.stdin.off("end", leave).off("close", leave).off("error", leave).destroy()
        })
    )
  })
)
