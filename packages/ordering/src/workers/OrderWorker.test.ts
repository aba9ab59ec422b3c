import { assert, describe, layer } from "@effect/vitest"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import type { IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import { MysqlConflict, MysqlUnavailable } from "@floodgate/runtime/mysql/MysqlError"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { OrderStore } from "../store/OrderStore.ts"
import {
  assertConserved,
  message,
  product,
  query,
  reservation,
  stores,
  TestPublished,
  TestTimers,
} from "../testing/Fixture.ts"
import * as OrderWorker from "./OrderWorker.ts"

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

const handle = (values: ReadonlyArray<unknown>) =>
  Effect.flatMap(OrderWorker.makeHandler, (handler) =>
    handler(values.map((value) => message(value, (value as { order_num?: string }).order_num ?? ""))),
  )

const outcome = (entries: ReadonlyArray<ReservationEvent>) =>
  Effect.flatMap(OrderStore, (orders) =>
    Effect.forEach(entries, (e) => Effect.map(orders.find(e.order_num), (row) => row?.state)),
  )

const letters = (...orderNums: ReadonlyArray<string>) =>
  Effect.map(
    query<{
      order_num: string | null
      claimed_num: string | null
      reason: string
      attempts: number
      payload: Buffer
      state: string
    }>("SELECT order_num, claimed_num, reason, attempts, payload, state FROM dead_letter ORDER BY id"),
    (rows) => rows.filter((row) => orderNums.length === 0 || orderNums.includes(row.order_num ?? "")),
  )

/** The last of `count` messages that were published under a number, as its consumer gets it. */
const published = (orderNum: string, count: number) =>
  Effect.map(TestPublished, ({ messages }): IncomingMessage => {
    const own = messages.filter((m) => m.key === orderNum)
    assert.strictEqual(own.length, count)
    const { headers = {}, key, topic, value } = own[count - 1]!
    return {
      topic,
      partition: 0,
      offset: String(count),
      key,
      value: Buffer.from(value),
      headers,
      timestampMs: Date.now(),
    }
  })

const trace = (n: number) => `00-${String(n).padStart(32, "a")}-${String(n).padStart(16, "b")}-01`

describe("the order worker", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("makes an order of each reservation of a batch, once, however often the batch comes", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 40 })
        const entries = range(1, 61).map((user) => reservation(id, user))
        yield* handle(entries)
        yield* handle(entries)
        yield* handle(entries.slice(30))
        const states = yield* outcome(entries)
        assert.strictEqual(states.filter((s) => s === "unpaid").length, 40)
        assert.strictEqual(states.filter((s) => s === "rejected").length, 20)
        assert.strictEqual(yield* assertConserved(id), 0)
      }),
    )

    it.effect("puts what it can't read, and numbers that nobody issued, aside; the rest becomes orders", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 10 })
        const [a, b, c] = [reservation(id, 1), reservation(id, 2), reservation(id, 3)]
        const stolen = { ...reservation(id, 4), user_id: 5 }
        const orphan = reservation(999_999, 6)
        yield* handle([a, "{", b, stolen, { type: "seckill.reserved", version: 9 }, orphan, c])
        assert.deepStrictEqual(yield* outcome([a, b, c, stolen, orphan]), [
          "unpaid",
          "unpaid",
          "unpaid",
          undefined,
          undefined,
        ])
        const aside = yield* letters()
        assert.deepStrictEqual(
          aside.map((row) => [row.reason, row.order_num, row.claimed_num, row.state]),
          [
            ["not a JSON object", null, null, "open"],
            ["order_num was not issued to this user", null, stolen.order_num, "open"],
            ["unknown version", null, null, "open"],
            ["there is no such product", orphan.order_num, orphan.order_num, "open"],
          ],
        )
        const copies = (yield* TestPublished).messages.filter((m) => m.topic === Topic.ReservationsDlq)
        assert.deepStrictEqual(
          copies.map((m) => [
            Buffer.from(m.value).toString("utf8"),
            m.headers?.["reason"],
            m.headers?.["attempts"],
          ]),
          aside.map((row) => [row.payload.toString("utf8"), row.reason, "1"]),
        )
        assert.deepStrictEqual(JSON.parse(aside[1]!.payload.toString("utf8")), stolen)
        yield* handle([orphan])
        assert.deepStrictEqual(
          (yield* letters(orphan.order_num)).map((row) => row.attempts),
          [2],
        )
        assert.strictEqual(yield* assertConserved(id), 7)
      }),
    )

    it.effect("finds the one message that fails by itself, and its neighbours don't notice", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 100 })
        const entries = range(1, 34).map((user) => reservation(id, user))
        const poison = entries[17]!
        yield* query(
          "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
          [id, poison.order_num],
        )
        yield* handle([
          ...entries,
          { event_id: "b", type: "seckill.barrier", version: 1, epoch: 44, occurred_at: "" },
        ])
        const states = yield* outcome(entries)
        assert.deepStrictEqual(
          states,
          entries.map((e) => (e === poison ? undefined : "unpaid")),
        )
        assert.deepStrictEqual(yield* letters(poison.order_num), [])
        assert.strictEqual(yield* assertConserved(id), 100 - 32)
        assert.deepStrictEqual(yield* (yield* OrderStore).barrier(44), [3])
        // It goes from one retry topic to the next, and is one dead letter at the end of them.
        let last = yield* published(poison.order_num, 1)
        assert.strictEqual(last.topic, Topic.ReservationsRetry1)
        for (const [topic, count] of [
          [Topic.ReservationsRetry2, 2],
          [Topic.ReservationsRetry3, 3],
          [Topic.ReservationsDlq, 4],
        ] as const) {
          yield* Effect.flatMap(OrderWorker.makeHandler, (handler) => handler([last]))
          last = yield* published(poison.order_num, count)
          assert.strictEqual(last.topic, topic)
        }
        const [letter] = yield* letters(poison.order_num)
        assert.deepInclude(letter, { attempts: 4, state: "open" })
        assert.deepInclude(last.headers, {
          "first-topic": Topic.Reservations,
          "first-partition": "3",
          attempts: "4",
        })
        assert.strictEqual(yield* assertConserved(id), 100 - 32)
      }),
    )

    it.effect("makes a dead letter at once of what a retry topic can't take", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 2 })
        const poison = reservation(id, 1)
        yield* query(
          "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
          [id, poison.order_num],
        )
        const { down } = yield* TestPublished
        down.add(Topic.ReservationsRetry1)
        yield* handle([poison, reservation(id, 2)])
        down.clear()
        assert.strictEqual((yield* letters(poison.order_num)).length, 1)
        assert.strictEqual(yield* assertConserved(id), 1)
      }),
    )

    it.effect("sets a timer for each order it makes, and for those already there that wait for money", () =>
      Effect.gen(function* () {
        const { armed } = yield* TestTimers
        const id = yield* product({ stock: 2 })
        const [a, b, late] = [reservation(id, 1), reservation(id, 2), reservation(id, 3)]
        yield* handle([a, b, late])
        const first = [armed.get(a.order_num)!, armed.get(b.order_num)!]
        const row = yield* Effect.flatMap(OrderStore, (orders) => orders.find(a.order_num))
        assert.closeTo(first[0]!, row!.expires_at_ms!, 3_000)
        assert.isFalse(armed.has(late.order_num))
        armed.clear()
        yield* query("UPDATE `order` SET state = 'paid' WHERE order_num = ?", [b.order_num])
        yield* handle([a, b, late])
        assert.deepStrictEqual([...armed], [[a.order_num, row!.expires_at_ms!]])
      }),
    )

    it.effect("waits for an engine that fails, and makes no dead letters of its batches", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const id = yield* product({ stock: 5 })
        const entries = [reservation(id, 1), reservation(id, 2)]
        const before = (yield* letters()).length
        const failures = [
          Effect.fail(new MysqlUnavailable({ op: "t", outcomeUnknown: true })),
          Effect.die(Object.assign(new Error("denied"), { errno: 1142, sqlMessage: "denied" })),
          Effect.fail(new MysqlConflict({ op: "t", errno: 1213 })),
        ]
        for (const failure of failures) {
          const exit = yield* Effect.exit(
            Effect.provideService(handle(entries), OrderStore, { ...orders, createBatch: () => failure }),
          )
          assert.isTrue(Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause))
        }
        assert.strictEqual((yield* letters()).length, before)
        yield* handle(entries)
        assert.deepStrictEqual(yield* outcome(entries), ["unpaid", "unpaid"])
      }),
    )

    it.effect(
      "redoes a batch that deadlocked, and one whose commit got no answer, without doubling anything",
      () =>
        Effect.gen(function* () {
          const orders = yield* OrderStore
          const id = yield* product({ stock: 5 })
          const entries = [reservation(id, 1), reservation(id, 2)]
          let calls = 0
          const shaky: typeof orders.createBatch = (events, barriers) =>
            Effect.suspend(() => {
              calls += 1
              if (calls === 1) return Effect.fail(new MysqlConflict({ op: "t", errno: 1213 }))
              const done = orders.createBatch(events, barriers)
              return calls === 2
                ? Effect.zipRight(done, Effect.fail(new MysqlUnavailable({ op: "t", outcomeUnknown: true })))
                : done
            })
          const attempt = Effect.provideService(handle(entries), OrderStore, {
            ...orders,
            createBatch: shaky,
          })
          assert.isTrue(Exit.isFailure(yield* Effect.exit(attempt)))
          yield* attempt
          assert.strictEqual(calls, 3)
          assert.strictEqual(yield* assertConserved(id), 3)
        }),
    )

    it.effect("takes the newest barrier of its batch when everything before it is decided", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const id = yield* product({ stock: 5 })
        const barrier = (epoch: number) => ({
          event_id: `${epoch}`,
          type: "seckill.barrier",
          version: 1,
          epoch,
          occurred_at: "",
        })
        const e = reservation(id, 1)
        const late = reservation(id, 2)
        yield* handle([e, barrier(101), barrier(102), late])
        assert.deepStrictEqual(yield* orders.barrier(102), [3])
        assert.deepStrictEqual(yield* outcome([e, late]), ["unpaid", "unpaid"])
        yield* handle([barrier(103)])
        assert.deepStrictEqual(yield* orders.barrier(103), [3])
      }),
    )

    it.effect("tells of each order under its click's trace, from click to commit", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 2 })
        const spans: Array<{
          name: string
          traceId: string
          parent: string | undefined
          links: ReadonlyArray<string>
          attributes: ReadonlyMap<string, unknown>
        }> = []
        const tracer = Tracer.make({
          span: (name, parent, context, links, startTime, kind) => {
            const attributes = new Map<string, unknown>()
            const span: Tracer.Span = {
              _tag: "Span",
              name,
              spanId: `${spans.length}`.padStart(16, "0"),
              traceId: Option.match(parent, { onNone: () => "root", onSome: (p) => p.traceId }),
              parent,
              context: context as Context.Context<never>,
              status: { _tag: "Started", startTime },
              attributes,
              links,
              sampled: true,
              kind,
              end: () => {},
              attribute: (key, value) => void attributes.set(key, value),
              event: () => {},
              addLinks: () => {},
            }
            spans.push({
              name,
              traceId: span.traceId,
              parent: Option.getOrUndefined(Option.map(parent, (p) => p.spanId)),
              links: links.map((link) => link.span.spanId),
              attributes,
            })
            return span
          },
          context: (f) => f(),
        })
        const logs: Array<{
          message: string
          order_num: unknown
          user_id: unknown
          traceId: string | undefined
        }> = []
        const logger = Logger.make(({ annotations, context, message }) => {
          const env = FiberRefs.getOrDefault(context, FiberRef.currentContext)
          logs.push({
            message: String(message),
            order_num: Option.getOrUndefined(HashMap.get(annotations, "order_num")),
            user_id: Option.getOrUndefined(HashMap.get(annotations, "user_id")),
            traceId: TraceContext.idsIn(env)?.traceId,
          })
        })
        const sampled = reservation(id, 1, { traceparent: trace(1) })
        const plain = reservation(id, 2)
        const other = reservation(id, 3, { traceparent: trace(2) })
        yield* handle([sampled, plain, other]).pipe(
          Effect.withTracer(tracer),
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        )
        const own = spans.filter((span) => span.name === "order create")
        assert.deepStrictEqual(
          own.map((span) => [
            span.traceId,
            span.parent,
            span.attributes.get("order_num"),
            span.attributes.get("outcome"),
          ]),
          [
            ["1".padStart(32, "a"), "1".padStart(16, "b"), sampled.order_num, "fits"],
            ["2".padStart(32, "a"), "2".padStart(16, "b"), other.order_num, "stock"],
          ],
        )
        const transaction = spans.findIndex((span) => span.name === "orders.create_batch")
        assert.deepStrictEqual(spans[transaction]!.links, ["1".padStart(16, "b"), "2".padStart(16, "b")])
        for (const span of own) {
          assert.deepStrictEqual(span.links, [`${transaction}`.padStart(16, "0")])
          assert.isNumber(span.attributes.get("db.transaction_ms"))
        }
        assert.deepStrictEqual(
          logs.map((log) => [log.message, log.order_num, log.user_id, log.traceId]),
          [
            ["order created", sampled.order_num, 1, "1".padStart(32, "a")],
            ["order created", plain.order_num, 2, undefined],
            ["order rejected: stock", other.order_num, 3, "2".padStart(32, "a")],
          ],
        )
        const quiet = spans.length
        yield* handle([reservation(id, 9)]).pipe(Effect.withTracer(tracer))
        assert.strictEqual(spans.length, quiet)
      }),
    )
  })
})
