import { assert, describe, it } from "@effect/vitest"
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import { DeadlineExceeded } from "@floodgate/runtime/resilience/Deadlines"
import * as Effect from "effect/Effect"
import type { Intent } from "../domain/Intent.ts"
import { type Channel, ChannelUnavailable } from "./Channel.ts"
import { guarded, verdictOn } from "./Guarded.ts"

const failure = (cause: unknown) => new ChannelUnavailable({ channel: "test", cause })

describe("Guarded", () => {
  it.scoped("a provider that is away isn't asked by every buyer in turn", () =>
    Effect.gen(function* () {
      let asked = 0
      const channel = guarded(
        {
          name: "test",
          pay: () =>
            Effect.suspend(() => {
              asked++
              return Effect.fail(failure(new Error("connection refused")))
            }),
        } as unknown as Channel,
        yield* Breakers.gate("channel", "test"),
      )
      const pay = Effect.flip(channel.pay({} as Intent))
      for (let n = 0; n < 100; n++) assert.strictEqual((yield* pay)._tag, "ChannelUnavailable")
      assert.strictEqual(asked, Breakers.defaults.channel.minimum)
    }).pipe(Effect.provide(Breakers.layerTest)),
  )

  it("a provider that refuses what we ask works; one that is overloaded or silent doesn't", () => {
    assert.strictEqual(verdictOn(failure({ response: { status: 404 } }), 10), "answered")
    assert.strictEqual(verdictOn(failure({ statusCode: 402 }), 10), "answered")
    assert.strictEqual(verdictOn(failure({ response: { status: 503 } }), 10), "failed")
    assert.strictEqual(verdictOn(failure({ statusCode: 429 }), 10), "failed")
    assert.strictEqual(verdictOn(failure(new Error("ECONNREFUSED")), 10), "failed")
    const late = failure(new DeadlineExceeded({ op: "provider.call", deadline_ms: 5_000 }))
    assert.strictEqual(verdictOn(late, 5_001), "failed")
    // Our own process stood still.
    assert.strictEqual(verdictOn(late, 11_000), "ignored")
  })
})
