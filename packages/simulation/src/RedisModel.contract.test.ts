/** Holds the model equal to the scripts: the same calls on a real Redis, the same answers, the same keys. */
import { assert, layer as withLayer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as BuyerRecord from "@floodgate/inventory/domain/BuyerRecord"
import * as SaleScripts from "@floodgate/inventory/store/SaleScripts"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Model from "./engine/RedisModel.ts"

const PRODUCT = 7
const LIMIT = 2
const MAX_OPEN = 4

type Call =
  | { readonly script: "claim"; readonly epoch: number }
  | {
      readonly script: "fence"
      readonly epoch: number
      readonly sameRun: boolean
      readonly revision: number
      readonly paused: boolean
    }
  | { readonly script: "pause"; readonly revision: number; readonly paused: boolean }
  | {
      readonly script: "warmup"
      readonly epoch: number | undefined
      readonly generation: number
      readonly stock: number
    }
  | { readonly script: "open"; readonly generation: number; readonly open: boolean; readonly version: number }
  | {
      readonly script: "load"
      readonly epoch: number
      readonly generation: number
      readonly first: boolean
      readonly orders: ReadonlyArray<number>
    }
  | {
      readonly script: "reserve"
      readonly generation: number
      readonly items: ReadonlyArray<readonly [user: number, quantity: number, request: number, late: boolean]>
    }
  | { readonly script: "release"; readonly generation: number; readonly nth: number }
  | { readonly script: "reservation"; readonly generation: number; readonly user: number }

const of = <S extends Call["script"]>(script: S) => fc.constant(script)
const epoch = fc.integer({ min: 1, max: 4 })
const generation = fc.integer({ min: 1, max: 3 })

const sales = { revision: fc.integer({ min: 0, max: 4 }), paused: fc.constantFrom(false, false, true) }

const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ script: of("pause"), ...sales }) },
  { weight: 1, arbitrary: fc.record({ script: of("claim"), epoch }) },
  {
    weight: 2,
    arbitrary: fc.record({
      script: of("fence"),
      epoch,
      sameRun: fc.constantFrom(true, true, false),
      ...sales,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      script: of("warmup"),
      epoch: fc.option(epoch, { nil: undefined }),
      generation,
      stock: fc.integer({ min: 0, max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      script: of("open"),
      generation,
      open: fc.constantFrom(true, true, false),
      version: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      script: of("load"),
      epoch,
      generation,
      first: fc.boolean(),
      orders: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      script: of("reserve"),
      generation,
      items: fc.array(
        fc.tuple(
          fc.integer({ min: 1, max: 3 }),
          fc.integer({ min: 1, max: 2 }),
          fc.integer({ min: 1, max: 9 }),
          fc.constantFrom(false, false, false, true),
        ),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ script: of("release"), generation, nth: fc.integer({ min: 0, max: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ script: of("reservation"), generation, user: fc.integer({ min: 1, max: 3 }) }),
  },
)

/** A shard that is open with the product on sale, and then anything. */
const opening: ReadonlyArray<Call> = [
  { script: "claim", epoch: 1 },
  { script: "load", epoch: 1, generation: 1, first: true, orders: [] },
  { script: "warmup", epoch: 1, generation: 1, stock: 5 },
  { script: "fence", epoch: 1, sameRun: true, revision: 0, paused: false },
  { script: "open", generation: 1, open: true, version: 1 },
]

const history = fc
  .tuple(fc.boolean(), fc.array(call, { minLength: 1, maxLength: 30, size: "max" }))
  .map(([opened, calls]) => [...(opened ? opening : []), ...calls])

const RUN_ID = /run_id:([0-9a-f]+)/

/** Plays the calls on both; throws at the first difference. */
const compare = (name: string, calls: ReadonlyArray<Call>) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const info = yield* redis.run("test", (c) => c.info("server"))
    const run_id = RUN_ID.exec(info)![1]!
    const key = (of: string) => `{${name}}:${of}`
    const buyers = (generation: number) => key(`b:${generation}`)
    const numbers: Array<readonly [order_num: string, user: number]> = []
    const codes: Array<ReserveCode> = []
    let shard = Model.empty
    const take = <A>([next, reply]: Model.Applied<A>): A => {
      shard = next
      return reply
    }

    for (const [at, c] of calls.entries()) {
      // Redis' own time decides what the model sees as now.
      const [seconds, micros] = yield* redis.run("test", (client) => client.time())
      const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
      const server = { run_id, now }
      const where = `call ${at}: ${JSON.stringify(c)}`
      switch (c.script) {
        case "claim": {
          const expected = take(Model.claim(shard, server, c.epoch))
          const reply = yield* SaleScripts.claim.run([key("fence")], [c.epoch])
          assert.deepStrictEqual(
            reply,
            typeof expected === "string" ? [1, expected] : [0, String(expected)],
            where,
          )
          break
        }
        case "fence": {
          const run = c.sameRun ? run_id : "0123"
          const expected = take(Model.openFence(shard, server, { epoch: c.epoch, run_id: run, sales: c }))
          const reply = yield* SaleScripts.fence.run(
            [key("fence")],
            [c.epoch, run, c.revision, c.paused ? 1 : 0],
          )
          assert.strictEqual(reply, expected ? 1 : 0, where)
          break
        }
        case "pause": {
          const expected = take(Model.pause(shard, c))
          const reply = yield* SaleScripts.pause.run([key("fence")], [c.revision, c.paused ? 1 : 0])
          assert.strictEqual(reply, expected, where)
          break
        }
        case "warmup": {
          const product: Model.Product = {
            gen: c.generation,
            open: false,
            start: 0,
            end: 0,
            limit: LIMIT,
            price: 100,
            stock: c.stock,
            ver: c.generation * 1_000,
          }
          const expected = take(
            Model.warmUp(shard, server, {
              product_id: PRODUCT,
              product,
              ...(c.epoch === undefined ? {} : { epoch: c.epoch }),
            }),
          )
          const reply = yield* SaleScripts.warmup.run(
            [key("fence"), key("p")],
            // biome-ignore format: pairs of field and value
            [
              c.epoch ?? "", c.generation, 0,
              "open", 0, "start", 0, "end", 0, "limit", LIMIT, "price", 100, "stock", c.stock, "ver", product.ver,
            ],
          )
          assert.deepStrictEqual(reply, [...expected], where)
          break
        }
        case "open": {
          const expected = take(Model.setOpen(shard, server, { product_id: PRODUCT, ...c }))
          const reply = yield* SaleScripts.open.run(
            [key("fence"), key("p")],
            [c.generation, c.open ? 1 : 0, c.version],
          )
          assert.deepStrictEqual(reply, [...expected], where)
          break
        }
        case "load": {
          const rows = c.orders.map((n) => ({
            user_id: (n % 3) + 1,
            order_num: `old${n}`,
            quantity: 1,
            request_id: `q${n}`,
            live: n % 2 === 0,
          }))
          const expected = take(Model.load(shard, { product_id: PRODUCT, ...c, rows }))
          const reply = yield* SaleScripts.load.run(
            [key("fence"), key("p"), buyers(c.generation)],
            [
              c.epoch,
              c.generation,
              c.first ? 1 : 0,
              0,
              ...rows.flatMap((r) => [r.user_id, r.order_num, r.quantity, r.request_id, r.live ? "l" : "r"]),
            ],
          )
          assert.strictEqual(reply, expected ? 1 : 0, where)
          break
        }
        case "reserve": {
          const items = c.items.map(([user_id, quantity, request, late], i): Model.Item => {
            const order_num = `n${at}x${i}`
            numbers.push([order_num, user_id])
            return {
              user_id,
              quantity,
              request_id: `r${request}`,
              order_num,
              not_after: late ? 1 : now + 60_000,
            }
          })
          const reply = (yield* SaleScripts.reserve.run(
            [key("fence"), key("stream"), key("p"), buyers(c.generation)],
            [
              c.generation,
              MAX_OPEN,
              items.length,
              ...items.map((item) => item.user_id),
              ...items.map((item) => item.quantity),
              ...items.map((item) => item.request_id),
              ...items.map((item) => item.not_after),
              ...items.map((item) => item.order_num),
            ],
          )) as ReadonlyArray<number | string>
          const expected = take(
            Model.reserve(
              shard,
              { run_id, now: reply[0] as number },
              { product_id: PRODUCT, generation: c.generation, max_open: MAX_OPEN, items },
            ),
          )
          codes.push(...expected.items.map((item) => item.code))
          const named = expected.items.flatMap((item, i) =>
            item.order_num === "" ? [] : [i + 1, item.order_num, item.live],
          )
          assert.deepStrictEqual(
            reply.slice(1),
            [
              expected.generation,
              expected.stock,
              expected.version,
              ...expected.items.flatMap((item) => [item.code, item.detail]),
              ...named,
            ],
            where,
          )
          break
        }
        case "release": {
          const [order_num, user_id] = numbers.at(-1 - c.nth) ?? ["old2", 3]
          const expected = take(
            Model.release(shard, server, {
              product_id: PRODUCT,
              generation: c.generation,
              user_id,
              order_num,
            }),
          )
          const reply = yield* SaleScripts.release.run(
            [key("fence"), key("p"), buyers(c.generation)],
            [c.generation, user_id, order_num],
          )
          assert.deepStrictEqual(reply, [...expected], where)
          break
        }
        case "reservation": {
          const ref = { product_id: PRODUCT, generation: c.generation, user_id: c.user }
          const expected = Model.reservation(shard, server, ref)
          const reply = (yield* SaleScripts.reservation.run(
            [key("fence"), key("p"), buyers(c.generation)],
            [c.generation, c.user],
          )) as ReadonlyArray<number | string>
          assert.deepStrictEqual(
            [reply[0], reply[1], BuyerRecord.decode(reply[2] as string)],
            [expected.open ? 1 : 0, expected.generation, [...expected.record]],
            where,
          )
          break
        }
      }
    }

    const [fence, product, stream, ...records] = yield* redis.run("test", (c) =>
      Promise.all([
        c.hgetall(key("fence")),
        c.hgetall(key("p")),
        c.xrange(key("stream"), "-", "+"),
        ...[1, 2, 3].map((g) => c.hgetall(buyers(g))),
      ]),
    )
    const text = (fields: object) =>
      Object.fromEntries(
        Object.entries(fields).map(([field, value]) => [
          field,
          String(typeof value === "boolean" ? Number(value) : value),
        ]),
      )
    assert.deepStrictEqual({ ...fence }, text(shard.fence))
    const mine = shard.products.get(PRODUCT)
    assert.deepStrictEqual({ ...product }, mine === undefined ? {} : text({ ...mine, expire: 0 }))
    assert.deepStrictEqual(
      stream.map(([, fields]) => fields[1]),
      shard.stream.map((e) => [e.order_num, e.user_id, e.quantity, e.request_id, e.price, e.limit].join(" ")),
    )
    records.forEach((record, i) => {
      assert.deepStrictEqual(
        new Map(Object.entries(record).map(([user, text]) => [Number(user), [...BuyerRecord.decode(text)]])),
        new Map(
          [...(shard.buyers.get(Model.buyersKey(PRODUCT, i + 1)) ?? [])].map(([user, held]) => [
            user,
            [...held],
          ]),
        ),
      )
    })
    return codes
  })

const MOST_ROUNDS = 10

withLayer(TestRedis.layer, { excludeTestServices: true })("the model of the sale's scripts", (it) => {
  it.effect(
    "answers and stores what the scripts do, whatever calls come",
    () =>
      Effect.gen(function* () {
        const context = yield* Effect.context<Redis>()
        const codes = new Set<ReserveCode>()
        let run = 0
        // What no history reaches isn't compared. The window is the tests' of the script itself.
        const never: ReadonlySet<ReserveCode> = new Set([ReserveCode.NOT_STARTED, ReserveCode.ENDED])
        const missing = () =>
          Object.entries(ReserveCode).flatMap(([name, code]) =>
            code < ReserveCode.NOT_EXECUTED && !never.has(code) && !codes.has(code) ? [name] : [],
          )
        const histories = fc.asyncProperty(history, async (calls) => {
          const name = `sim${process.pid}-${++run}`
          const reached = await Effect.runPromise(compare(name, calls).pipe(Effect.provide(context)))
          for (const code of reached) codes.add(code)
        })
        // A rare answer may be missed by all of one round.
        for (let round = 0; round === 0 || (round < MOST_ROUNDS && missing().length > 0); round++) {
          yield* Effect.promise(() => fc.assert(histories, { numRuns: 300 }))
        }
        assert.deepStrictEqual(missing(), [])
      }),
    60_000,
  )
})
