/**
 * Where people stand in the waiting rooms that their streams listen to. Each is asked for as often as `GET …/queue` would
 * tell them to ask: those at the front twice a second, those far behind every few seconds; so a long line costs a bounded
 * number of questions, and nobody polls. It is also what lets people in while nobody else asks.
 */
import { type FloodgateError, rowOf } from "@floodgate/contracts/errors/Errors"
import type { QueuePlace } from "@floodgate/contracts/http/Queue"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { WaitingRoom } from "../queue/WaitingRoom.ts"
import type { Hub, Stream } from "./Hub.ts"

/** Between two looks at who is due (ms). */
export const EVERY_MS = 250

/** Questions of one round; whoever is left waits for the next one, the longest due first. */
const MAX_ASKED = 2_000
const CONCURRENCY = 64

/** After an answer that may change, but hardly soon (ms). */
const CLOSED_RETRY_MS = 5_000
/** After no answer (ms). */
const BUSY_RETRY_MS = 1_000

/** What a stream was told of one product. */
interface Known {
  readonly told: string
  /** When it is asked for again, Unix ms. */
  readonly dueMs: number
}

interface Due {
  readonly key: string
  readonly stream: Stream
  readonly productId: number
  readonly known: Known | undefined
}

const closed = (error: FloodgateError) => ({ state: "closed" as const, code: rowOf(error).code })

/** Whether waiting makes sense no longer, rather than that nobody knows. */
const isFinal = (error: FloodgateError): boolean => error._tag !== "Busy" && error._tag !== "Internal"

/** What a change is: not how long one is asked to wait, and not a ticket that is signed anew each time. */
const gistOf = ({ ahead, position, state }: QueuePlace): string => `${state} ${position} ${ahead}`

/** One round over all who are due. */
export const make = (
  hub: Hub,
  room: Context.Tag.Service<WaitingRoom>,
  nowMs: () => number,
): Effect.Effect<void> => {
  let known = new Map<string, Known>()

  const ask = ({ key, known: before, productId, stream }: Due): Effect.Effect<void> =>
    Effect.map(
      Effect.either(
        room.place({
          userId: stream.listener!.userId,
          productId,
          device: stream.listener!.device,
          ticket: undefined,
        }),
      ),
      (answer) => {
        const at = nowMs()
        if (Either.isLeft(answer) && !isFinal(answer.left)) {
          known.set(key, { told: before?.told ?? "", dueMs: at + BUSY_RETRY_MS })
          return
        }
        const told = Either.match(answer, { onLeft: (error) => `closed ${error._tag}`, onRight: gistOf })
        if (told !== before?.told) {
          hub.queue(stream, {
            product_id: productId,
            ...Either.match(answer, { onLeft: closed, onRight: (place) => place }),
          })
        }
        const dueMs = Either.match(answer, {
          onLeft: () => at + CLOSED_RETRY_MS,
          // Whoever is in has a ticket: what becomes of it is theirs to do.
          onRight: (place) =>
            place.state === "admitted" ? Number.POSITIVE_INFINITY : at + place.retry_after_ms,
        })
        known.set(key, { told, dueMs })
      },
    )

  return Effect.suspend(() => {
    const at = nowMs()
    const next = new Map<string, Known>()
    const due: Array<Due> = []
    for (const productId of hub.products("queue")) {
      for (const stream of hub.queueing(productId)) {
        const key = `${stream.id} ${productId}`
        const before = known.get(key)
        if (before !== undefined) next.set(key, before)
        if (before === undefined || before.dueMs <= at) due.push({ key, stream, productId, known: before })
      }
    }
    known = next
    due.sort((one, other) => (one.known?.dueMs ?? 0) - (other.known?.dueMs ?? 0))
    return Effect.forEach(due.slice(0, MAX_ASKED), ask, { concurrency: CONCURRENCY, discard: true })
  })
}
