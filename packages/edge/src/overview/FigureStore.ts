/** What all edges have counted, by steps of ten seconds, in the Redis that they share. It is lost with it, and nobody's money is. */
import { Redis, type RedisConnection } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Counts } from "./EdgeFigures.ts"

export const STEP_MS = 10_000

/** How long (s) a step is kept: the longest window, and some. */
const KEEP_S = 3_900

/** Counts by the number of their step since 1970. */
export type Steps = ReadonlyMap<number, Counts>

export class FigureStore extends Context.Tag("@floodgate/edge/overview/FigureStore")<
  FigureStore,
  {
    /** Adds an edge's counts to those of all. */
    readonly add: (steps: Steps) => Effect.Effect<void, RedisError>
    /** The steps from one to another, both included; empty ones are left out. */
    readonly read: (from: number, to: number) => Effect.Effect<Steps, RedisError>
  }
>() {}

// One hash slot: a Cluster takes a pipeline only there.
const keyOf = (step: number): string => `{overview}:${step}`

/** Runs commands in one go; the first that failed fails them all. */
const pipelined = async (
  connection: RedisConnection,
  fill: (pipeline: ReturnType<RedisConnection["pipeline"]>) => void,
): Promise<Array<unknown>> => {
  const pipeline = connection.pipeline()
  fill(pipeline)
  const answers = (await pipeline.exec()) ?? []
  return answers.map(([error, answer]) => {
    if (error !== null) throw error
    return answer
  })
}

export const make = Effect.map(Redis, (redis) =>
  FigureStore.of({
    add: (steps) =>
      Effect.asVoid(
        redis.run("overview.add", (connection) =>
          pipelined(connection, (pipeline) => {
            for (const [step, counts] of steps) {
              for (const [field, by] of Object.entries(counts)) pipeline.hincrby(keyOf(step), field, by)
              pipeline.expire(keyOf(step), KEEP_S)
            }
          }),
        ),
      ),
    read: (from, to) =>
      redis.run("overview.read", async (connection) => {
        const steps = Array.from({ length: to - from + 1 }, (_, index) => from + index)
        const answers = await pipelined(connection, (pipeline) => {
          for (const step of steps) pipeline.hgetall(keyOf(step))
        })
        const found = new Map<number, Counts>()
        steps.forEach((step, index) => {
          const fields = Object.entries((answers[index] ?? {}) as Record<string, string>)
          if (fields.length > 0) {
            found.set(step, Object.fromEntries(fields.map(([field, text]) => [field, Number(text)])))
          }
        })
        return found
      }),
  }),
)

export const layer = Layer.effect(FigureStore, make)
