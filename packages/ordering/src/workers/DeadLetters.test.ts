import { assert, describe, layer } from "@effect/vitest"
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { OrderStore } from "../store/OrderStore.ts"
import {
  assertConserved,
  DISCARD_MS,
  message,
  product,
  query,
  reservation,
  stores,
  TestTimers,
} from "../testing/Fixture.ts"
import { DeadLetters } from "./DeadLetters.ts"
import { FailedMessages } from "./FailedMessages.ts"
import * as OrderWorker from "./OrderWorker.ts"
import * as PaymentEvents from "./PaymentEvents.ts"

const wish = (id: number, requestId = "") => ({ id, actorId: 9, reason: "because", requestId })

/** Puts a message aside by itself, and answers its letter's id. */
const buried = (value: unknown) =>
  Effect.gen(function* () {
    const failed = yield* FailedMessages
    yield* failed.bury(message(value), "a test wants it so", { oneForNumber: true })
    const [row] = yield* query<{ id: number }>("SELECT MAX(id) AS id FROM dead_letter")
    return row!.id
  })

const letter = (id: number) =>
  Effect.map(
    query<{ state: string; attempts: number; settled_by: number | null; settled_reason: string | null }>(
      "SELECT state, attempts, settled_by, settled_reason FROM dead_letter WHERE id = ?",
      [id],
    ),
    (rows) => rows[0]!,
  )

/** State, reason and number of each release that was told for a number. */
const row = (orderNum: string) =>
  Effect.gen(function* () {
    const found = yield* (yield* OrderStore).find(orderNum)
    const told = yield* query<{ payload: string }>("SELECT payload FROM outbox ORDER BY id")
    const releases = told
      .map(({ payload }) => Schema.decodeSync(Schema.parseJson(OrderEvent))(payload))
      .filter(({ type }) => type === "order.rejected" || type === "order.cancelled")
      .flatMap(({ changes }) => changes)
      .filter((change) => change.order_num === orderNum)
    return [found?.state, found?.reject_reason ?? null, releases.length] as const
  })

const audited = (id: number) =>
  query<{ action: string; actor_id: number; reason: string }>(
    "SELECT action, actor_id, reason FROM audit WHERE target_type = 'dead_letter' AND target_id = ?",
    [String(id)],
  )

/** The state that a refused settlement tells. */
const refusal = <A, E>(self: Effect.Effect<A, E, DeadLetters>) =>
  Effect.map(Effect.flip(self), (error) => (error as { readonly state?: string }).state)

const replay = (id: number, requestId?: string) =>
  Effect.flatMap(DeadLetters, (letters) => letters.replay(wish(id, requestId)))
const discard = (id: number, requestId?: string) =>
  Effect.flatMap(DeadLetters, (letters) => letters.discard(wish(id, requestId)))
const sweep = Effect.flatMap(DeadLetters, (letters) => letters.discardOverdue)

describe("dead letters", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("a replay makes the order that was missing, once, and says who wanted it", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 1 })
        const [wanted, late] = [reservation(productId, 1), reservation(productId, 2)]
        const ids = [yield* buried(wanted), yield* buried(late)] as const
        assert.strictEqual((yield* replay(ids[0], "request-1")).state, "replayed")
        assert.deepStrictEqual(yield* row(wanted.order_num), ["unpaid", null, 0])
        assert.isTrue((yield* TestTimers).armed.has(wanted.order_num))
        // The same wish is answered alike, another one is told that it comes too late.
        assert.strictEqual((yield* replay(ids[0], "request-1")).state, "replayed")
        assert.strictEqual(yield* refusal(replay(ids[0])), "replayed")
        assert.strictEqual(yield* refusal(discard(ids[0])), "replayed")
        assert.deepStrictEqual(yield* audited(ids[0]), [
          { action: "dead_letter.replay", actor_id: 9, reason: "because" },
        ])
        // It is judged as any other: what is sold out by now is rejected, and its stock in Redis goes back.
        assert.strictEqual((yield* replay(ids[1])).state, "replayed")
        assert.deepStrictEqual(yield* row(late.order_num), ["rejected", "stock", 1])
        assert.strictEqual(yield* assertConserved(productId), 0)
        assert.strictEqual(yield* refusal(replay(999_999)), undefined)
      }),
    )

    it.effect("a discard gives the stock back once, and no later copy brings the order to life", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const entry = reservation(productId, 1)
        const id = yield* buried(entry)
        yield* discard(id)
        assert.deepStrictEqual(yield* row(entry.order_num), ["rejected", "lost", 1])
        yield* Effect.flatMap(OrderWorker.makeHandler, (handle) => handle([message(entry, entry.order_num)]))
        assert.strictEqual(yield* refusal(discard(id)), "discarded")
        assert.strictEqual(yield* refusal(replay(id)), "discarded")
        assert.deepStrictEqual(yield* row(entry.order_num), ["rejected", "lost", 1])
        assert.strictEqual(yield* assertConserved(productId), 5)
        assert.deepStrictEqual(yield* audited(id), [
          { action: "dead_letter.discard", actor_id: 9, reason: "because" },
        ])
      }),
    )

    it.effect("a discard leaves an order alone that a copy has made meanwhile", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const entry = reservation(productId, 1)
        const id = yield* buried(entry)
        yield* (yield* OrderStore).createBatch([entry], [])
        assert.strictEqual((yield* discard(id)).state, "discarded")
        assert.deepStrictEqual(yield* row(entry.order_num), ["unpaid", null, 0])
        assert.strictEqual(yield* assertConserved(productId), 4)
      }),
    )

    it.effect("a reservation ends even where its message can't be read, or its product is gone", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const ofTomorrow = { ...reservation(productId, 1), version: 2, quantity: { pieces: 1 } }
        const orphan = reservation(888_888, 2)
        for (const value of [ofTomorrow, orphan]) {
          const id = yield* buried(value)
          assert.strictEqual(yield* refusal(replay(id)), "open")
          assert.strictEqual((yield* letter(id)).attempts, 2)
          yield* discard(id)
          assert.deepStrictEqual(yield* row(value.order_num), ["rejected", "lost", 1])
        }
        // What was never issued has nothing to give back.
        const stolen = { ...reservation(productId, 3), user_id: 4 }
        const id = yield* buried(stolen)
        yield* discard(id)
        assert.deepStrictEqual(yield* row(stolen.order_num), [undefined, null, 0])
        yield* discard(yield* buried("{"))
      }),
    )

    it.effect("a replay that fails again leaves everything as it was, and the letter open", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const entry = reservation(productId, 1)
        yield* query(
          "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
          [productId, entry.order_num],
        )
        const id = yield* buried(entry)
        assert.strictEqual(yield* refusal(replay(id, "request-2")), "open")
        assert.deepInclude(yield* letter(id), { state: "open", attempts: 2, settled_by: null })
        assert.deepStrictEqual(yield* row(entry.order_num), [undefined, null, 0])
        assert.deepStrictEqual(yield* audited(id), [])
        yield* query("DELETE FROM {inventory}.stock_log WHERE ref = ?", [entry.order_num])
        assert.strictEqual((yield* replay(id, "request-2")).state, "replayed")
        assert.strictEqual(yield* assertConserved(productId), 4)
      }),
    )

    it.effect("of a replay and two discards at once exactly one wins", () =>
      Effect.gen(function* () {
        const rounds = 12
        const productId = yield* product({ stock: 100 })
        let orders = 0
        for (let user = 1; user <= rounds; user++) {
          const entry = reservation(productId, user)
          const id = yield* buried(entry)
          const attempts = [discard(id), replay(id), discard(id)]
          const results = yield* Effect.all(
            (user % 2 === 0 ? attempts : [...attempts].reverse()).map((attempt) => Effect.either(attempt)),
            { concurrency: "unbounded" },
          )
          assert.strictEqual(results.filter(Either.isRight).length, 1)
          const [state, , releases] = yield* row(entry.order_num)
          const replayed = (yield* letter(id)).state === "replayed"
          assert.deepStrictEqual([state, releases], replayed ? ["unpaid", 0] : ["rejected", 1])
          if (replayed) orders += 1
          assert.strictEqual((yield* audited(id)).length, 1)
        }
        assert.strictEqual(yield* assertConserved(productId), 100 - orders)
      }),
    )

    it.effect("what nobody minds is discarded when its time is over; a replay then comes too late", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const [old, young] = [reservation(productId, 1), reservation(productId, 2)]
        const ids = [yield* buried(old), yield* buried(young)] as const
        yield* query("UPDATE dead_letter SET first_at = first_at - INTERVAL ? SECOND WHERE id = ?", [
          DISCARD_MS / 1000 + 1,
          ids[0],
        ])
        yield* Effect.all([sweep, sweep], { concurrency: 2 })
        assert.deepInclude(yield* letter(ids[0]), { state: "discarded", settled_by: 0 })
        assert.deepInclude(yield* letter(ids[1]), { state: "open" })
        assert.strictEqual(yield* refusal(replay(ids[0])), "discarded")
        assert.deepStrictEqual(yield* row(old.order_num), ["rejected", "lost", 1])
        assert.strictEqual((yield* audited(ids[0]))[0]!.actor_id, 0)
      }),
    )

    it.effect("a payment's letter waits for a person, and its replay pays the order", () =>
      Effect.gen(function* () {
        const productId = yield* product({ stock: 5 })
        const entry = reservation(productId, 1)
        yield* (yield* OrderStore).createBatch([entry], [])
        const event: PaymentEvent = {
          event_id: `captured-${entry.order_num}`.slice(0, 64),
          type: "payment.captured",
          version: 1,
          aggregate: entry.order_num,
          occurred_at: "2026-11-11T00:00:00.000Z",
          payment_id: "p1",
          order_num: entry.order_num,
          channel: "balance",
          status: "succeeded",
          amount: 9900,
          currency: "CNY",
          payment_version: 2,
          capture_id: "c1",
        }
        // The column takes 32 characters: this one fails by itself until the table is mended.
        const long = { ...event, channel: "x".repeat(40) }
        const handle = yield* PaymentEvents.makeHandler
        yield* handle([{ ...message(long), topic: Topic.PaymentEvents }])
        const [found] = yield* query<{ id: number; claimed_num: string }>(
          "SELECT id, claimed_num FROM dead_letter WHERE topic = ? ORDER BY id DESC LIMIT 1",
          [Topic.PaymentEvents],
        )
        const id = found!.id
        assert.strictEqual(found!.claimed_num, entry.order_num)
        yield* query("UPDATE dead_letter SET first_at = first_at - INTERVAL 2 DAY WHERE id = ?", [id])
        yield* sweep
        assert.strictEqual(yield* refusal(replay(id)), "open")
        yield* query("UPDATE dead_letter SET payload = ? WHERE id = ?", [JSON.stringify(event), id])
        assert.strictEqual((yield* replay(id)).state, "replayed")
        assert.deepStrictEqual(yield* row(entry.order_num), ["paid", null, 0])
      }),
    )
  })
})
