import { Deferred, Duration, Effect, Option, Semaphore, Stream } from "effect"
import type { UserId, VideoId } from "../domain/Ids.ts"
import { Unavailable } from "../domain/Problem.ts"
import { UploadTooSlow } from "../domain/Uploads.ts"
import { VideoSettings } from "./VideoSettings.ts"

/** Whole uploads of one video at once: a sender whose connection hangs, and the same once more. A URL that leaked takes no more. */
const mostOfOne = 2
/** How long a newcomer waits for the one before it to put down its pen. */
const patience = "10 seconds"

/** What a sender must keep up: so many bytes in each window. */
export interface Pace {
  readonly window: Duration.Duration
  readonly bytes: number
}

/** Lets a newcomer end this work. */
export type Yielding = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Unavailable, R>

const repeated = new Unavailable({ detail: "The video is being sent already. Try again.", retry_after: 5 })
const superseded = new Unavailable({ detail: "A newer request goes on with this upload.", retry_after: 1 })
const tooSlow = ({ bytes, window }: Pace) =>
  new UploadTooSlow({
    detail: `Fewer than ${bytes} bytes came in ${
      Duration.format(window)
    }. A resumable upload keeps what came; ask for its offset and go on.`
  })

/** Lets so many in at once under one key, and refuses the next. */
const turnstile = <K>(most: number, full: Unavailable) => {
  const inside = new Map<K, number>()
  const enter = (key: K) =>
    Effect.suspend(() => {
      const present = inside.get(key) ?? 0
      if (present >= most) return Effect.fail(full)
      inside.set(key, present + 1)
      return Effect.void
    })
  const leave = (key: K) =>
    Effect.sync(() => {
      const present = inside.get(key) ?? 0
      if (present <= 1) inside.delete(key)
      else inside.set(key, present - 1)
    })
  return <A, E, R>(key: K, work: Effect.Effect<A, E, R>): Effect.Effect<A, E | Unavailable, R> =>
    Effect.acquireUseRelease(enter(key), () => work, () => leave(key))
}

/** Who may send, how many at once, and how slowly. */
export const makeUploadPlaces = Effect.fnUntraced(function*(pace: Pace) {
  // Each holds a connection, a file and a chunk.
  const { mostAtOnce, mostUnfinished } = yield* VideoSettings
  const many = new Unavailable({ detail: `You send ${mostUnfinished} videos already. Try again.`, retry_after: 5 })
  const busy = new Unavailable({ detail: `${mostAtOnce} uploads are under way. Try again.`, retry_after: 5 })
  const places = yield* Semaphore.make(mostAtOnce)
  const writers = new Map<
    VideoId,
    { readonly stop: Deferred.Deferred<void>; readonly ended: Deferred.Deferred<void> }
  >()

  /** The right to send a whole video. */
  const beside = turnstile<VideoId>(mostOfOne, repeated)
  /** One member's, whatever they are of: an upload may go on for longer than it counts among the announced ones. */
  const ofMember = turnstile<UserId>(mostUnfinished, many)

  const begin = Effect.fnUntraced(
    function*(videoId: VideoId) {
      let before = writers.get(videoId)
      while (before !== undefined) {
        yield* Deferred.succeed(before.stop, undefined)
        yield* Deferred.await(before.ended)
        before = writers.get(videoId)
      }
      const turn = { stop: Deferred.makeUnsafe<void>(), ended: Deferred.makeUnsafe<void>() }
      writers.set(videoId, turn)
      return turn
    },
    Effect.timeoutOption(patience),
    Effect.flatMap(Option.match({ onNone: () => Effect.fail(repeated), onSome: Effect.succeed }))
  )

  /**
   * The right to an unfinished upload, for one request at a time. The newest may end the body of the one before it: a sender
   * that comes back does not wait until the server, too, has noticed that its old connection is dead. What is not receiving
   * a body is short and is waited for.
   */
  const alone = <A, E, R>(
    videoId: VideoId,
    work: (yielding: Yielding) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Unavailable, R> =>
    Effect.acquireUseRelease(
      Effect.interruptible(begin(videoId)),
      ({ stop }) =>
        work((body) => Effect.raceFirst(body, Effect.andThen(Deferred.await(stop), Effect.fail(superseded)))),
      ({ ended }) =>
        Effect.suspend(() => {
          writers.delete(videoId)
          return Deferred.succeed(ended, undefined)
        })
    )

  /** A place for a body of this member's, for as long as its sender keeps up the pace. */
  const paced = <A, E, R, E2>(
    userId: UserId,
    body: Stream.Stream<Uint8Array, E2>,
    use: (body: Stream.Stream<Uint8Array, E2>) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Unavailable | UploadTooSlow, R> =>
    Effect.suspend(() => {
      let came = 0
      const counted = Stream.tap(body, (chunk) =>
        Effect.sync(() => {
          came += chunk.length
        }))
      const watch = Effect.gen(function*() {
        while (true) {
          const before = came
          yield* Effect.sleep(pace.window)
          if (came - before < pace.bytes) return yield* tooSlow(pace)
        }
      })
      return places.withPermitsIfAvailable(1)(Effect.raceFirst(use(counted), watch))
    }).pipe(
      Effect.flatMap(Option.match({ onNone: () => Effect.fail(busy), onSome: Effect.succeed })),
      (work) => ofMember(userId, work)
    )

  return { beside, alone, paced }
})
