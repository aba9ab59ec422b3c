/** The sale's scripts, as `lua/` describes each. */
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Effect from "effect/Effect"

export const reserve = RedisScript.define("reserve", { keys: 4 })
export const release = RedisScript.define("release", { keys: 3 })
export const warmup = RedisScript.define("warmup", { keys: 2 })
export const open = RedisScript.define("open", { keys: 2 })
export const claim = RedisScript.define("claim", { keys: 1 })
export const fence = RedisScript.define("fence", { keys: 1 })
export const load = RedisScript.define("load", { keys: 3 })
export const reservation = RedisScript.define("reservation", { keys: 3 })
export const adjust = RedisScript.define("adjust", { keys: 3 })
export const pause = RedisScript.define("pause", { keys: 1 })
export const look = RedisScript.define("look", { keys: 4 })
export const lease = RedisScript.define("lease", { keys: 1 })

/** Reads every script's text, so that a missing file stops the start and not the first buyer. */
export const preload = Effect.forEach(
  [reserve, release, warmup, open, claim, fence, load, reservation, adjust, pause, look, lease],
  (script) => script.preload,
  { discard: true },
)
