/**
 * The fences: which shards are proved equal to MySQL, under which run of which server. Recovery alone writes them, by
 * `lua/claim.lua` and `lua/fence.lua`.
 */
import { Redis, type RedisConnection } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SaleScripts from "./SaleScripts.ts"
import * as ShardKeys from "./ShardKeys.ts"

/** A later recovery has this shard. `epoch` is the highest that the shard has seen. */
export class ClaimRefused extends Data.TaggedError("ClaimRefused")<{
  readonly shard: number
  readonly epoch: number
}> {}

/** The switch of all sales, as a shard keeps it. */
export interface ShardSwitch {
  /** 0: never touched. */
  readonly revision: number
  readonly paused: boolean
}

export class ShardFence extends Context.Tag("@floodgate/inventory/store/ShardFence")<
  ShardFence,
  {
    /**
     * The shards that are closed, of all that answer: without a fence, or with one of a server's run that is over.
     * `suspects` (shards that answered FENCED) are asked one by one, since a shard that moved to another server looks
     * open from afar. Fails only where no server answers.
     */
    readonly closed: (suspects: ReadonlySet<number>) => Effect.Effect<ReadonlyArray<number>, RedisError>
    /** Takes the shard for one recovery and closes it. Answers the run_id of the server it lives on. */
    readonly claim: (shard: number, epoch: number) => Effect.Effect<string, RedisError | ClaimRefused>
    /**
     * Opens a claimed shard that was loaded on this run of its server. False: the claim or the run is gone, so is what
     * was loaded, and the recovery must start again. `sale` is the switch of all sales as MySQL has it, so that the
     * shard doesn't sell for a moment what was paused before its server was emptied.
     */
    readonly open: (
      shard: number,
      epoch: number,
      run_id: string,
      sale?: ShardSwitch,
    ) => Effect.Effect<boolean, RedisError>
    /** The revision of the switch that each shard obeys; undefined where its server doesn't answer. */
    readonly revisions: Effect.Effect<ReadonlyArray<number | undefined>, RedisError>
    /** Has a shard obey the switch, unless it obeys a later revision already. */
    readonly obey: (shard: number, sale: ShardSwitch) => Effect.Effect<void, RedisError>
  }
>() {}

const RUN_ID = /run_id:([0-9a-f]+)/

const ALL = Array.from({ length: Shards.SHARDS }, (_, shard) => shard)

/** What was answered; throws the first failure where nothing was. */
const answered = async <A>(asked: ReadonlyArray<Promise<A>>): Promise<ReadonlyArray<A | undefined>> => {
  const settled = await Promise.allSettled(asked)
  const failed = settled.find((result) => result.status === "rejected")
  if (failed !== undefined && settled.every((result) => result.status === "rejected")) throw failed.reason
  return settled.map((result) => (result.status === "fulfilled" ? result.value : undefined))
}

const primariesOf = (connection: RedisConnection) =>
  "nodes" in connection ? connection.nodes("master") : [connection]

const make = Effect.gen(function* () {
  const redis = yield* Redis
  const context = yield* Effect.context<Redis>()

  const isOpen = (shard: number) =>
    SaleScripts.reservation
      .run([ShardKeys.fence(shard), Shards.key(shard, "p:0"), Shards.key(shard, "b:0:0")], [0, 0])
      .pipe(
        Effect.provide(context),
        Effect.map((reply) => Array.isArray(reply) && reply[0] === 1),
      )

  const closed = Effect.fn("ShardFence.closed")(function* (suspects: ReadonlySet<number>) {
    const [servers, fences] = yield* redis.run("inventory.fences", (c) =>
      Promise.all([
        answered(primariesOf(c).map((primary) => primary.info("server"))),
        answered(ALL.map((shard) => c.hget(ShardKeys.fence(shard), "run_id"))),
      ]),
    )
    const runs = new Set(servers.map((info) => (info === undefined ? undefined : RUN_ID.exec(info)?.[1])))
    const found: Array<number> = []
    for (const shard of ALL) {
      const fence = fences[shard]
      // Undefined: the shard's server doesn't answer, and can't be recovered now.
      if (fence === undefined) continue
      if (fence === null || !runs.has(fence)) found.push(shard)
      else if (suspects.has(shard) && !(yield* isOpen(shard))) found.push(shard)
    }
    return found
  })

  const claim = Effect.fn("ShardFence.claim")(function* (shard: number, epoch: number) {
    const reply = yield* SaleScripts.claim
      .run([ShardKeys.fence(shard)], [epoch])
      .pipe(Effect.provide(context))
    if (!Array.isArray(reply)) return yield* Effect.dieMessage("claim.lua answered in a shape of its own")
    const [state, found] = reply as [number, string]
    return state === 1 ? found : yield* new ClaimRefused({ shard, epoch: Number(found) })
  })

  const open = Effect.fn("ShardFence.open")(function* (
    shard: number,
    epoch: number,
    run_id: string,
    sale: ShardSwitch = { revision: 0, paused: false },
  ) {
    const reply = yield* SaleScripts.fence
      .run([ShardKeys.fence(shard)], [epoch, run_id, sale.revision, sale.paused ? 1 : 0])
      .pipe(Effect.provide(context))
    return reply === 1
  })

  const revisions = Effect.map(
    redis.run("inventory.revisions", (c) =>
      answered(ALL.map((shard) => c.hget(ShardKeys.fence(shard), "pause_rev"))),
    ),
    (found) => found.map((text) => (text === undefined ? undefined : Number(text ?? 0))),
  ).pipe(Effect.withSpan("ShardFence.revisions"))

  const obey = Effect.fn("ShardFence.obey")(function* (shard: number, sale: ShardSwitch) {
    yield* SaleScripts.pause
      .run([ShardKeys.fence(shard)], [sale.revision, sale.paused ? 1 : 0])
      .pipe(Effect.provide(context))
  })

  return ShardFence.of({ closed, claim, open, revisions, obey })
})

export const layer: Layer.Layer<ShardFence, never, Redis> = Layer.effect(ShardFence, make)
