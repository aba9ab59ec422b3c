/** Inventory is ready when every shard is open: before that it would answer each buyer and each publisher with 530. */
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ShardFence } from "../store/ShardFence.ts"

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const readiness = yield* Readiness
    const fence = yield* ShardFence
    yield* readiness.register(
      "shards",
      fence.closed(new Set()).pipe(
        Effect.map((closed) => closed.length === 0),
        Effect.orElseSucceed(() => false),
      ),
    )
  }),
)
