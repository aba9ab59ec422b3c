/** Tells those who watch that there are new revocations: one look at the database for all of them. */
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { RevocationStore } from "./store/RevocationStore.ts"

/** How often the database is looked at while anybody watches, in milliseconds. */
const POLL_MS = 200

/** How often a watch hears something even where nothing has changed, in milliseconds. */
const HEARTBEAT_MS = 5_000

export class RevocationFeed extends Context.Tag("@floodgate/identity/RevocationFeed")<
  RevocationFeed,
  {
    /** The newest revision at once, whenever it changes (the newest only, for a slow reader), and as a heartbeat. */
    readonly revisions: Stream.Stream<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<RevocationFeed, never, RevocationStore> = Layer.scoped(
    RevocationFeed,
    Effect.suspend(() => make({ heartbeatMs: HEARTBEAT_MS })),
  )
}

export const make = (options: { readonly heartbeatMs: number }) =>
  Effect.gen(function* () {
    const store = yield* RevocationStore
    const news = yield* PubSub.sliding<number>(1)
    let watching = 0
    let newest = 0

    const look = Effect.flatMap(store.head, (revision) => {
      if (revision === newest) return Effect.void
      newest = revision
      return Effect.asVoid(PubSub.publish(news, revision))
    })

    yield* look.pipe(
      // A watch is a hint; while the database is away, its reader finds that out by itself.
      Effect.catchAll((error) => Effect.logDebug("revocations can't be looked at", error)),
      Effect.when(() => watching > 0),
      Effect.repeat(Schedule.spaced(POLL_MS)),
      Effect.withTracerEnabled(false),
      Effect.forkScoped,
    )

    return RevocationFeed.of({
      revisions: Stream.unwrapScoped(
        Effect.gen(function* () {
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              watching += 1
            }),
            () =>
              Effect.sync(() => {
                watching -= 1
              }),
          )
          // First listening, then looking: nothing falls between the two.
          const changes = yield* Stream.fromPubSub(news, { scoped: true })
          const revision = yield* store.head
          const heartbeat = Stream.map(Stream.tick(options.heartbeatMs), () =>
            Math.max(newest, revision),
          ).pipe(Stream.drop(1))
          return Stream.concat(Stream.succeed(revision), Stream.merge(changes, heartbeat))
        }),
      ),
    })
  })
