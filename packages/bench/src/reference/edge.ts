/**
 * An edge in place of the one that was to start (`--import` in NODE_OPTIONS: what it loads first never ends, so the entry
 * behind it never begins). With FLOODGATE_BENCH_GUARDS=off limits and rules let everything pass, as they never do
 * otherwise; with `on` it is the edge as it ships, from the same bundle: what both differ in is what guarding costs.
 */
import { layer, unguarded } from "@floodgate/edge/layer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const open: Parameters<typeof unguarded>[0] = {
  limiter: {
    take: () => 0,
    wait: (_name, _key, done) => done(0),
    isRefused: () => false,
    giveBack: () => undefined,
    check: () => Effect.void,
    left: (name) => Effect.succeed({ name, remaining: 1, resetInMs: 0 }),
  },
  risk: {
    listed: () => undefined,
    turnedAway: () => undefined,
    judge: (_subject, _proved, done) => done(undefined),
    suspicion: () => 0,
    standing: () => ({ standing: "ok", untilMs: undefined }),
    deviceLeft: () => undefined,
  },
}

Main.run({
  service: "edge",
  layer: Layer.discard(process.env["FLOODGATE_BENCH_GUARDS"] === "off" ? unguarded(open) : layer),
  opsPort: AppConfig.port("edgeOps"),
})

await new Promise(() => undefined)
