import * as fs from "node:fs"
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { MAX_BATCH, MAX_RESERVATIONS_PER_BUYER, ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import * as StreamEntry from "../domain/StreamEntry.ts"
import * as TestSale from "../testing/TestSale.ts"
import {
  eventually,
  HOUR,
  ORDER_NUM_KEY as KEY,
  openShards,
  product,
  requestId,
  reserve,
} from "../testing/TestSale.ts"
import { ReservationStore } from "./ReservationStore.ts"
import { ShardFence } from "./ShardFence.ts"
import * as ShardKeys from "./ShardKeys.ts"
import * as ShardSignals from "./ShardSignals.ts"

const layer = Layer.provideMerge(TestSale.stores, TestRedis.layer)

const hash = (product_id: number) =>
  Effect.flatMap(Redis, (redis) => redis.run("test", (c) => c.hgetall(ShardKeys.product(product_id))))

const entries = (product_id: number) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const rows = yield* redis.run("test", (c) =>
      c.xrange(ShardKeys.stream(Shards.shardOf(product_id)), "-", "+"),
    )
    return rows
      .map(([id, [, text]]) => StreamEntry.decode(id, text!)!)
      .filter((entry) => entry.event.product_id === product_id)
  })

const codes = (answers: { readonly codes: ReadonlyArray<ReserveCode> }) => {
  const counts = new Map<ReserveCode, number>()
  for (const code of answers.codes) counts.set(code, (counts.get(code) ?? 0) + 1)
  return Object.fromEntries(counts)
}

describe("lua/reserve.lua", () => {
  const lua = fs.readFileSync("lua/reserve.lua", "utf8")

  it("answers the codes that TypeScript knows", () => {
    const table = /local CODE = \{([^}]*)\}/.exec(lua)![1]!
    const inLua = Object.fromEntries(
      Array.from(table.matchAll(/(\w+) = (\d+)/g), ([, name, code]) => [name, Number(code)]),
    )
    const ofScript = Object.entries(ReserveCode).filter(([, code]) => code < ReserveCode.NOT_EXECUTED)
    assert.deepStrictEqual(inLua, Object.fromEntries(ofScript))
  })

  it("bounds a buyer as TypeScript does", () => {
    assert.strictEqual(
      Number(/local MAX_RESERVATIONS_PER_BUYER = (\d+)/.exec(lua)![1]),
      MAX_RESERVATIONS_PER_BUYER,
    )
  })
})

it.layer(layer)("ReservationStore", (it) => {
  it.effect("100 parallel requests of one buyer make one reservation", () =>
    Effect.gen(function* () {
      const id = yield* product()
      const all = yield* Effect.all(
        Array.from({ length: 100 }, () => reserve(id, [{ user: 7 }])),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(codes({ codes: all.flatMap((a) => a.codes) }), {
        [ReserveCode.RESERVED]: 1,
        [ReserveCode.ALREADY_BOUGHT]: 99,
      })
      const won = all.find((a) => a.codes[0] === ReserveCode.RESERVED)!.order_nums[0]!
      for (const a of all.filter((a) => a.codes[0] === ReserveCode.ALREADY_BOUGHT)) {
        assert.deepStrictEqual([a.order_nums[0], a.details[0], a.live_order_nums], [won, 1, [won]])
      }
      assert.strictEqual((yield* hash(id))["stock"], "99")
      assert.strictEqual((yield* entries(id)).length, 1)
    }),
  )

  it.effect("100 requests of one buyer in one batch make one reservation", () =>
    Effect.gen(function* () {
      const id = yield* product()
      const answers = yield* reserve(
        id,
        Array.from({ length: 100 }, () => ({ user: 7 })),
      )
      assert.deepStrictEqual(codes(answers), { [ReserveCode.RESERVED]: 1, [ReserveCode.ALREADY_BOUGHT]: 99 })
    }),
  )

  it.effect("1,000 buyers of 100 items: 100 get one, 900 are told sold out, nothing is left", () =>
    Effect.gen(function* () {
      const id = yield* product()
      const buyers = Array.from({ length: 1_000 }, (_, i) => ({ user: i + 1 }))
      const batches = Array.from({ length: 10 }, (_, i) => buyers.slice(i * 100, i * 100 + 100))
      const all = yield* Effect.all(
        batches.map((wishes) => reserve(id, wishes)),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(codes({ codes: all.flatMap((a) => a.codes) }), {
        [ReserveCode.RESERVED]: 100,
        [ReserveCode.SOLD_OUT]: 900,
      })
      const held = yield* hash(id)
      assert.strictEqual(held["stock"], "0")
      assert.strictEqual(all.at(-1)!.stock, 0)
      assert.strictEqual(all.at(-1)!.stock_version, Number(held["ver"]))
      const sold = yield* entries(id)
      assert.strictEqual(new Set(sold.map((e) => e.event.user_id)).size, 100)
    }),
  )

  it.effect("the entry holds what the order needs, and the number proves to whom it was given", () =>
    Effect.gen(function* () {
      const id = yield* product({ per_user_limit: 3, price: 9_007_199_254_740_991, generation: 4 })
      const request = requestId()
      const answers = yield* reserve(id, [{ user: 9_007_199_254_740_991, quantity: 2, request }])
      const [entry] = yield* entries(id)
      assert.isDefined(entry)
      const { reserved_at_ms, ...event } = entry.event
      assert.isTrue(Math.abs(reserved_at_ms - answers.server_time_ms) < 1_000)
      assert.deepStrictEqual(event, {
        event_id: answers.order_nums[0]!,
        type: "seckill.reserved",
        version: 1,
        order_num: answers.order_nums[0]!,
        user_id: 9_007_199_254_740_991,
        product_id: id,
        generation: 4,
        quantity: 2,
        price: 9_007_199_254_740_991,
        per_user_limit: 3,
        request_id: request,
      })
      assert.strictEqual(OrderNum.verify(KEY, event.order_num, 9_007_199_254_740_991)?.generation, 4)
      assert.isUndefined(OrderNum.verify(KEY, event.order_num, 1))
    }),
  )

  it.effect(
    "the same request id gets the same number, live or released; with another quantity it is refused",
    () =>
      Effect.gen(function* () {
        const store = yield* ReservationStore
        const id = yield* product({ per_user_limit: 5 })
        const request = requestId()
        const first = yield* reserve(id, [{ user: 1, quantity: 2, request }])
        const order_num = first.order_nums[0]!
        const again = yield* reserve(id, [
          { user: 1, quantity: 2, request },
          { user: 1, quantity: 3, request },
          { user: 2, quantity: 2, request },
        ])
        assert.deepStrictEqual(again.codes, [
          ReserveCode.REPEATED,
          ReserveCode.KEY_REUSED,
          ReserveCode.RESERVED,
        ])
        assert.strictEqual(again.order_nums[0], order_num)
        assert.isTrue(yield* store.release({ product_id: id, user_id: 1, order_num }))
        const late = yield* reserve(id, [{ user: 1, quantity: 2, request }])
        assert.deepStrictEqual([late.codes[0], late.order_nums[0]], [ReserveCode.REPEATED, order_num])
        assert.strictEqual((yield* hash(id))["stock"], "98")
      }),
  )

  it.effect("a limit above one counts pieces, and names every live number", () =>
    Effect.gen(function* () {
      const id = yield* product({ per_user_limit: 4 })
      const a = yield* reserve(id, [
        { user: 1, quantity: 5 },
        { user: 1, quantity: 2 },
        { user: 1, quantity: 3 },
        { user: 1, quantity: 2 },
        { user: 1, quantity: 1 },
      ])
      assert.deepStrictEqual(a.codes, [
        ReserveCode.ALREADY_BOUGHT,
        ReserveCode.RESERVED,
        ReserveCode.ALREADY_BOUGHT,
        ReserveCode.RESERVED,
        ReserveCode.ALREADY_BOUGHT,
      ])
      const [, first, , second] = a.order_nums
      assert.deepStrictEqual(a.live_order_nums, ["", first, `${first},${second}`])
      assert.deepStrictEqual([a.order_nums[0], a.order_nums[2], a.order_nums[4]], ["", first, second])
      assert.strictEqual(a.details[4], 4)
    }),
  )

  it.effect("a buyer gets 5 reservations of a product, whatever became of them", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const id = yield* product()
      let order_num = ""
      for (let i = 0; i < MAX_RESERVATIONS_PER_BUYER; i++) {
        const a = yield* reserve(id, [{ user: 1 }])
        assert.strictEqual(a.codes[0], ReserveCode.RESERVED)
        order_num = a.order_nums[0]!
        assert.isTrue(yield* store.release({ product_id: id, user_id: 1, order_num }))
      }
      const sixth = yield* reserve(id, [{ user: 1 }])
      assert.deepStrictEqual(
        [sixth.codes[0], sixth.order_nums[0], sixth.live_order_nums],
        [ReserveCode.ALREADY_BOUGHT, order_num, [""]],
      )
      assert.strictEqual((yield* hash(id))["stock"], "100")
    }),
  )

  it.effect("a release adds stock once, and only for the buyer's own live number", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const id = yield* product({ per_user_limit: 3 })
      const a = yield* reserve(id, [{ user: 1, quantity: 2 }, { user: 1 }, { user: 2 }])
      const ref = { product_id: id, user_id: 1, order_num: a.order_nums[0]! }
      assert.isFalse(yield* store.release({ ...ref, user_id: 2 }))
      assert.isFalse(yield* store.release({ ...ref, order_num: `${ref.order_num.slice(0, -1)}!` }))
      assert.deepStrictEqual(
        yield* Effect.all([store.release(ref), store.release(ref), store.release(ref)], { concurrency: 3 }),
        [true, false, false],
      )
      const held = yield* hash(id)
      assert.strictEqual(held["stock"], "98")
      assert.isAbove(Number(held["ver"]), a.stock_version)
      assert.deepStrictEqual(
        yield* store.getReservation(ref).pipe(Effect.map((r) => [r.state, r.quantity])),
        ["released", 2],
      )
      const other = { ...ref, order_num: a.order_nums[1]! }
      assert.strictEqual((yield* store.getReservation(other)).state, "live")
      assert.strictEqual((yield* store.getReservation({ ...other, user_id: 3 })).state, "none")
      yield* openShards([999_999])
      assert.isFalse(yield* store.release({ ...ref, product_id: 999_999 }))
    }),
  )

  describe("the order of checks", () => {
    /**
     * In the order of the protocol. Each condition can be made to hold whatever the others are; the answer to two at
     * once is the earlier one's.
     */
    const conditions = [
      ["FENCED", ReserveCode.FENCED],
      ["EXPIRED", ReserveCode.EXPIRED],
      ["REPEATED", ReserveCode.REPEATED],
      ["NOT_STARTED", ReserveCode.NOT_STARTED],
      ["ENDED", ReserveCode.ENDED],
      ["NOT_ON_SALE", ReserveCode.NOT_ON_SALE],
      ["ALREADY_BOUGHT", ReserveCode.ALREADY_BOUGHT],
      ["SOLD_OUT", ReserveCode.SOLD_OUT],
      ["BACKLOG_FULL", ReserveCode.BACKLOG_FULL],
    ] as const
    type Condition = (typeof conditions)[number][0]

    const answerTo = (failing: ReadonlyArray<Condition>) =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const id = yield* product()
        const shard = Shards.shardOf(id)
        const request = requestId()
        const set = (...fields: Array<string | number>) =>
          redis.run("test", (c) => c.hset(ShardKeys.product(id), ...fields))
        if (failing.includes("REPEATED") || failing.includes("ALREADY_BOUGHT")) {
          const first = yield* reserve(id, [{ user: 1, request }])
          assert.strictEqual(first.codes[0], ReserveCode.RESERVED)
        }
        if (failing.includes("NOT_STARTED")) yield* set("start", Date.now() + HOUR)
        if (failing.includes("ENDED")) yield* set("end", Date.now() - 1)
        if (failing.includes("NOT_ON_SALE")) yield* set("open", 0)
        if (failing.includes("SOLD_OUT")) yield* set("stock", 0)
        if (failing.includes("BACKLOG_FULL")) {
          yield* redis.run("test", (c) => {
            const pipeline = c.pipeline()
            for (let i = 0; i < 5_000; i++) pipeline.xadd(ShardKeys.stream(shard), "*", "e", "x")
            return pipeline.exec()
          })
        }
        if (failing.includes("FENCED"))
          yield* redis.run("test", (c) => c.hset(ShardKeys.fence(shard), "run_id", "x"))
        const answers = yield* reserve(id, [
          {
            user: 1,
            request: failing.includes("REPEATED") ? request : requestId(),
            ...(failing.includes("EXPIRED") ? { notAfter: Date.now() - 1_000 } : {}),
          },
        ])
        yield* redis.run("test", (c) => c.del(ShardKeys.stream(shard)))
        return answers.codes[0]
      })

    it.effect("with nothing in the way it is reserved", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* answerTo([]), ReserveCode.RESERVED)
      }),
    )

    for (const [i, [earlier, code]] of conditions.entries()) {
      it.effect(`${earlier} comes before all that follow it`, () =>
        Effect.gen(function* () {
          assert.strictEqual(yield* answerTo([earlier]), code, earlier)
          for (const [later] of conditions.slice(i + 1)) {
            assert.strictEqual(yield* answerTo([earlier, later]), code, `${earlier} and ${later}`)
          }
        }),
      )
    }
  })

  it.effect("the window's answers say when", () =>
    Effect.gen(function* () {
      const start = Date.now() + HOUR
      const soon = yield* product({ start_ms: start, end_ms: null })
      const a = yield* reserve(soon, [{ user: 1 }])
      assert.deepStrictEqual([a.codes[0], a.details[0]], [ReserveCode.NOT_STARTED, start])
      const end = Date.now() - 5
      const over = yield* product({ end_ms: end })
      const b = yield* reserve(over, [{ user: 1 }])
      assert.deepStrictEqual([b.codes[0], b.details[0]], [ReserveCode.ENDED, end])
    }),
  )

  it.effect("a warm-up is unsellable until it is opened", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const id = yield* product()
      yield* store.setOpen(id, 1, false)
      assert.strictEqual((yield* reserve(id, [{ user: 1 }])).codes[0], ReserveCode.NOT_ON_SALE)
      yield* store.setOpen(id, 1, true)
      assert.strictEqual((yield* reserve(id, [{ user: 1 }])).codes[0], ReserveCode.RESERVED)
    }),
  )

  it.effect("a warm-up under the same or a lower generation changes nothing", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const id = yield* product({ generation: 3, stock: 10 })
      yield* reserve(id, [{ user: 1 }])
      const sale = { product_id: id, start_ms: 0, end_ms: null, per_user_limit: 1, price: 1, stock: 10 }
      for (const generation of [2, 3]) {
        const failure = yield* Effect.flip(store.warmUp({ ...sale, generation }))
        assert.deepInclude(failure, { _tag: "GenerationConflict", found: 3 })
      }
      assert.strictEqual((yield* store.readStock([id, 424_242])).get(id), 9)
      assert.isFalse((yield* store.readStock([id, 424_242])).has(424_242))
      assert.deepInclude(yield* Effect.flip(store.setOpen(id, 2, false)), { _tag: "GenerationConflict" })
    }),
  )

  it.effect("numbers of an older generation are made anew, and the buyers' limits start again", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const id = yield* product()
      const first = yield* reserve(id, [{ user: 1 }])
      yield* store.warmUp({
        product_id: id,
        generation: 2,
        start_ms: Date.now() - HOUR,
        end_ms: null,
        per_user_limit: 1,
        price: 1,
        stock: 5,
      })
      const redis = yield* Redis
      // Another process opened it: this one still believes in generation 1.
      yield* redis.run("test", (c) => c.hset(ShardKeys.product(id), "open", 1, "gen", 3))
      const a = yield* reserve(id, [{ user: 1 }])
      assert.strictEqual(a.codes[0], ReserveCode.RESERVED)
      assert.strictEqual(OrderNum.parse(a.order_nums[0]!)?.generation, 3)
      assert.isAbove(a.stock_version, first.stock_version)
    }),
  )

  it.effect(
    "a product that Redis doesn't hold isn't on sale, and the caller is told that it isn't there",
    () =>
      Effect.gen(function* () {
        yield* openShards([77_777])
        const a = yield* reserve(77_777, [{ user: 1 }, { user: 2 }])
        assert.deepStrictEqual(a.codes, [ReserveCode.NOT_ON_SALE, ReserveCode.NOT_ON_SALE])
        assert.strictEqual(a.generation, 0)
      }),
  )

  it.effect("the keys of a product go 7 days after its end; those of a sale without end stay", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const end_ms = Date.now() + HOUR
      const id = yield* product({ end_ms })
      const endless = yield* product({ end_ms: null })
      yield* reserve(id, [{ user: 1 }])
      yield* reserve(id, [{ user: 2 }])
      yield* reserve(endless, [{ user: 1 }])
      const at = Math.ceil((end_ms + 7 * 24 * HOUR) / 1_000)
      const expiries = (product_id: number) =>
        redis.run("test", (c) =>
          Promise.all([
            c.expiretime(ShardKeys.product(product_id)),
            c.expiretime(ShardKeys.buyers(product_id, 1)),
          ]),
        )
      assert.deepStrictEqual(yield* expiries(id), [at, at])
      assert.deepStrictEqual(yield* expiries(endless), [-1, -1])
    }),
  )

  it.effect("a batch fills the stream up to its bound and no further", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const id = yield* product({ stock: 10_000 })
      const stream = ShardKeys.stream(Shards.shardOf(id))
      yield* redis.run("test", (c) => {
        const pipeline = c.pipeline()
        for (let i = 0; i < 4_997; i++) pipeline.xadd(stream, "*", "e", "x")
        return pipeline.exec()
      })
      const a = yield* reserve(
        id,
        Array.from({ length: MAX_BATCH }, (_, i) => ({ user: i + 1 })),
      )
      assert.deepStrictEqual(codes(a), { [ReserveCode.RESERVED]: 3, [ReserveCode.BACKLOG_FULL]: 125 })
      assert.strictEqual((yield* hash(id))["stock"], "9997")
      yield* redis.run("test", (c) => c.del(stream))
    }),
  )

  it.effect("columns that don't fit are refused before anything is asked", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const good = {
        product_id: 1,
        user_ids: [1],
        quantities: [1],
        request_ids: ["r"],
        not_after_ms: [1],
        traced_items: [],
        traceparents: [],
      }
      for (const bad of [
        { ...good, user_ids: [] },
        { ...good, user_ids: [0] },
        { ...good, user_ids: [1, 2] },
        { ...good, quantities: [0] },
        { ...good, quantities: [1.5] },
        { ...good, request_ids: ["a,b;"] },
        { ...good, request_ids: [""] },
        { ...good, not_after_ms: [] },
        { ...good, traced_items: [1], traceparents: ["x"] },
        { ...good, traced_items: [0], traceparents: [] },
        { ...good, product_id: -1 },
      ]) {
        assert.strictEqual((yield* Effect.flip(store.reserveBatch(bad)))._tag, "InvalidInput")
      }
    }),
  )

  it.effect("a traced item gets a child span, and its entry names it; an untraced one gets none", () =>
    Effect.gen(function* () {
      const spans: Array<{ readonly name: string; readonly traceId: string; readonly spanId: string }> = []
      let ids = 0
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const traceId = parent._tag === "Some" ? parent.value.traceId : "0".repeat(32)
          const spanId = String(++ids).padStart(16, "0")
          const span = { name, traceId, spanId }
          spans.push(span)
          return {
            ...span,
            _tag: "Span",
            parent,
            context,
            links,
            kind,
            sampled: true,
            status: { _tag: "Started", startTime },
            attributes: new Map(),
            end: () => {},
            attribute: () => {},
            event: () => {},
            addLinks: () => {},
          } as Tracer.Span
        },
        context: (f) => f(),
      })
      const id = yield* product()
      const trace = "a".repeat(32)
      yield* reserve(id, [
        { user: 1 },
        { user: 2, traceparent: `00-${trace}-${"b".repeat(16)}-01` },
        { user: 3, traceparent: "nonsense" },
      ]).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(
        spans.filter((s) => s.name === "redis reserve").map((s) => s.traceId),
        [trace],
      )
      assert.deepStrictEqual(
        (yield* entries(id)).map((e) => e.event.traceparent),
        [undefined, `00-${trace}-${spans.at(-1)!.spanId}-01`, undefined],
      )
    }),
  )

  it.effect("after SCRIPT FLUSH the sale goes on", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      const id = yield* product()
      yield* server.command("SCRIPT FLUSH")
      assert.strictEqual((yield* reserve(id, [{ user: 1 }])).codes[0], ReserveCode.RESERVED)
    }),
  )
})

withLayer(layer, { excludeTestServices: true })("ReservationStore and its server", (it) => {
  it.effect("an emptied or restarted server is closed before its first reservation", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      const store = yield* ReservationStore
      const fence = yield* ShardFence
      const signals = yield* ShardSignals.ShardSignals
      const id = yield* product()
      const shard = Shards.shardOf(id)
      const first = yield* reserve(id, [{ user: 1 }])
      const ref = { product_id: id, user_id: 1, order_num: first.order_nums[0]! }
      yield* server.stop
      assert.strictEqual((yield* reserve(id, [{ user: 2 }])).codes[0], ReserveCode.NOT_EXECUTED)
      yield* server.start
      const third = yield* eventually(
        reserve(id, [{ user: 3 }]),
        (a) => a.codes[0] !== ReserveCode.NOT_EXECUTED,
      )
      assert.strictEqual(third.codes[0], ReserveCode.FENCED)
      assert.deepStrictEqual(yield* signals.takeFenced, [shard])
      assert.strictEqual((yield* Effect.flip(store.release(ref)))._tag, "ShardFenced")
      // What it kept may be shown; what it doesn't know may be lost.
      assert.strictEqual((yield* store.getReservation(ref)).state, "live")
      assert.strictEqual(
        (yield* Effect.flip(store.getReservation({ ...ref, user_id: 2 })))._tag,
        "ShardFenced",
      )
      assert.include(yield* fence.closed(new Set()), shard)

      yield* openShards([id])
      assert.notInclude(yield* fence.closed(new Set([shard])), shard)
      assert.strictEqual((yield* reserve(id, [{ user: 4 }])).codes[0], ReserveCode.RESERVED)
      yield* server.flushall
      assert.strictEqual((yield* reserve(id, [{ user: 5 }])).codes[0], ReserveCode.FENCED)
    }),
  )

  it.effect(
    "a frozen server makes the outcome unknown, with the number that will tell; late it executes nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.TestRedisServer
        const store = yield* ReservationStore
        const id = yield* product()
        yield* reserve(id, [{ user: 1 }])
        yield* server.pause
        const started = Date.now()
        const a = yield* reserve(id, [{ user: 2, notAfter: started + 700 }])
        assert.strictEqual(a.codes[0], ReserveCode.UNKNOWN)
        assert.isDefined(OrderNum.verify(KEY, a.order_nums[0]!, 2))
        assert.isBelow(Date.now() - started, 2_000)
        yield* server.resume
        const late = yield* store
          .getReservation({ product_id: id, user_id: 2, order_num: a.order_nums[0]! })
          .pipe(Effect.retry({ times: 50, schedule: Schedule.spaced("50 millis") }))
        assert.strictEqual(late.state, "none")
        assert.strictEqual((yield* hash(id))["stock"], "99")
      }),
  )
})
