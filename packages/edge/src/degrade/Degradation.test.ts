import { assert, describe, expect, it, layer } from "@effect/vitest"
import { Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import { type BreakerKind, Breakers, defaults, gate, make } from "@floodgate/runtime/resilience/Breakers"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as RouteTable from "../http/RouteTable.ts"
import * as KeyPolicy from "../idempotency/KeyPolicy.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Bulkheads from "./Bulkheads.ts"
import * as Degradation from "./Degradation.ts"
import * as Degrade from "./Degrade.ts"

const routes = RouteTable.make().routes

/** A path that fits a pattern. */
const pathOf = (pattern: string): string => pattern.replace(":channel", "sandbox").replace(/:[a-z_]+/g, "42")

/** The breakers' time: on a busy machine a pause of theirs is over before a request is sent. */
const breakersClock = { ms: 0 }

const breakers = Layer.scoped(
  Breakers,
  make(defaults, () => breakersClock.ms),
)

/** Makes a dependency's breaker open, as failing calls would; the window is full of failures afterwards. */
const trip = (kind: BreakerKind, instance?: string) =>
  Effect.map(gate(kind, instance), (breaker) => {
    for (let n = 0; n < 1_000 && breaker.waitMs() === 0; n++) {
      const ticket = breaker.enter()
      if (ticket > 0) breaker.leave(ticket, "failed", 1, 1_000)
    }
    assert.isAbove(breaker.waitMs(), 0)
  })

/** Makes it close again, as its probes would. */
const heal = (kind: BreakerKind, instance?: string) =>
  Effect.map(gate(kind, instance), (breaker) => {
    breakersClock.ms += breaker.waitMs()
    for (let n = 0; n < 2; n++) breaker.leave(breaker.enter(), "answered", 1, 1_000)
  })

const isDegraded = (answer: TestEdge.Answer): boolean => answer.status === 503 && answer.json?.code === 530

let inventoryAway = false

describe("Degradation", () => {
  it("every route has a row, and every row a route", () => {
    assert.sameMembers(
      Object.keys(Degradation.rows),
      routes.map(({ method, path }) => `${method} ${path}`),
      "a new route says in Degradation.ts what it does when something behind it is away",
    )
  })

  it("the guide's page shows the table", async () => {
    const cell = (needs: Degradation.Row["needs"]) =>
      Object.entries(needs)
        .map(([dependency, answer]) => `${dependency}: ${answer}`)
        .join(", ")
    const lines = Object.entries(Degradation.rows).map(
      ([route, row]) => `| \`${route}\` | ${row.class} | ${cell(row.needs)} |`,
    )
    const bounds = Object.entries(Degradation.bounds).map(
      ([name, { atOnce, waiting }]) => `| ${name} | ${atOnce} | ${waiting} |`,
    )
    const page = [
      "# What each route answers when something is away",
      "",
      "Made from `edge/src/degrade/Degradation.ts`; the words are explained in [When something is away](degradation.md).",
      "",
      "| route | class | while it is away |",
      "| --- | --- | --- |",
      ...lines,
      "",
      "| class | in hand at once | waiting |",
      "| --- | --- | --- |",
      ...bounds,
      "",
    ].join("\n")
    // After a change of the table: run this test with -u.
    await expect(page).toMatchFileSnapshot("../../../../docs/guides/degradation-routes.md")
  })

  it("a route whose idempotency keys are the edge's needs their database", () => {
    for (const [route, policy] of Object.entries(KeyPolicy.policies)) {
      const needs = Degradation.rows[route]?.needs.database
      assert.strictEqual(policy === "edge", needs !== undefined, route)
    }
  })

  layer(
    TestEdge.layer({
      inventory: {
        getProduct: ({ productId }) =>
          Effect.suspend(
            (): Effect.Effect<ReturnType<typeof Messages.product>, Busy | NotFound> =>
              inventoryAway
                ? Effect.fail(new Busy({}))
                : productId === 42n
                  ? Effect.succeed(Messages.product())
                  : Effect.fail(new NotFound({})),
          ),
        listProducts: () =>
          Effect.suspend(() =>
            inventoryAway
              ? Effect.fail(new Busy({}))
              : Effect.succeed(Messages.products([Messages.product()], "")),
          ),
      },
    }).pipe(Layer.provideMerge(breakers)),
    { excludeTestServices: true },
  )((it) => {
    for (const dependency of Object.keys(Degrade.breakerOf) as ReadonlyArray<Degradation.Dependency>) {
      const breaker = Degrade.breakerOf[dependency]
      it.effect(
        `with ${dependency} away, what can't do without it says so at once and when to come back`,
        () =>
          Effect.gen(function* () {
            const { ask } = yield* TestEdge.TestEdge
            const refusing = routes.filter(
              ({ method, path }) =>
                Degradation.of(method, path).needs[dependency] === "busy" && path !== "/seckill",
            )
            assert.isNotEmpty(refusing)
            for (const { method, path, rawBody } of refusing) {
              yield* trip(...breaker)
              const answer = yield* ask(pathOf(path), {
                method,
                headers: { "idempotency-key": "k" },
                ...(method === "GET" ? {} : { body: rawBody ? "{}" : {} }),
              })
              assert.isTrue(isDegraded(answer), `${method} ${path} answered ${answer.status} ${answer.text}`)
              const retryAfter = Number(answer.headers["retry-after"])
              assert.isAtLeast(retryAfter, 1)
              assert.isAtMost(retryAfter, Math.ceil(defaults.grpc.open_cap_ms / 1_000))
            }
            const others = routes.filter(
              ({ method, path }) => Degradation.of(method, path).needs[dependency] !== "busy",
            )
            for (const { method, path, rawBody } of others) {
              yield* trip(...breaker)
              const answer = yield* ask(pathOf(path), {
                method,
                ...(method === "GET" ? {} : { body: rawBody ? "{}" : {} }),
              })
              assert.isFalse(isDegraded(answer), `${method} ${path} answered ${answer.status} ${answer.text}`)
            }
            yield* heal(...breaker)
          }),
      )
    }

    it.effect("products are shown as they were last known, with their age", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const before = yield* ask("/products/42")
        const listed = yield* ask("/products")
        assert.isUndefined(before.headers["age"])
        assert.isUndefined(listed.headers["age"])
        inventoryAway = true
        // Its life as a fresh copy ends.
        const until = Date.now() + 5_000
        let stale = yield* ask("/products/42")
        while (stale.headers["age"] === undefined && Date.now() < until) {
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
          stale = yield* ask("/products/42")
        }
        assert.strictEqual(stale.status, 200)
        assert.strictEqual(stale.json.data.id, 42)
        assert.isAtLeast(Number(stale.headers["age"]), 1)
        assert.match(String(stale.headers["cache-status"]), /^floodgate; hit; ttl=-\d+/)
        const page = yield* ask("/products")
        assert.deepStrictEqual(page.json.data.items, listed.json.data.items, page.text)
        assert.isAtLeast(Number(page.headers["age"]), 0)
        // A page that nobody has read, and a product that nobody knows.
        assert.isTrue(isDegraded(yield* ask("/products?status=ended")))
        assert.isTrue(isDegraded(yield* ask("/products/43")))
        inventoryAway = false
        const after = yield* ask("/products")
        assert.isUndefined(after.headers["age"])
      }),
    )
  })

  it.live("the rush is answered at once, and once, while inventory's breaker is open", () => {
    let asked = 0
    return Effect.gen(function* () {
      const inventory = yield* GrpcClient.make(InventoryRpc, {
        url: "127.0.0.1:1",
        credential: yield* ServiceCredential.ServiceCredential,
        gate: {
          enter: () => {
            asked++
            return -500
          },
          leave: () => {},
        },
      })
      yield* Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const startedAt = performance.now()
        const answer = yield* ask("/seckill", {
          body: { product_id: 42 },
          headers: TestEdge.bearer({ userId: 7, username: "anna", roles: ["customer"] }),
        })
        assert.isTrue(isDegraded(answer), answer.text)
        assert.isAtLeast(Number(answer.headers["retry-after"]), 1)
        // Nothing was sent, so there is no number to ask for, and nothing to try again.
        assert.isUndefined(answer.json.data?.order_num)
        assert.strictEqual(asked, 1)
        assert.isBelow(performance.now() - startedAt, 800)
      }).pipe(
        Effect.provide(
          TestEdge.layer({
            inventory: {
              reserveBatch: inventory.reserveBatch,
              getProduct: () => Effect.succeed(Messages.product()),
            },
          }),
        ),
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(
        ServiceCredential.layer({
          service: "edge",
          keys: [Redacted.make("a-service-key-that-only-tests-know")],
        }),
      ),
    )
  })

  it.effect("a crowd of one class waits in a bounded line, and takes nothing from the others", () =>
    Effect.gen(function* () {
      const { states, within } = Bulkheads.make({ ...Degradation.bounds, admin: { atOnce: 2, waiting: 3 } })
      const admin = within("admin")
      const crowd = yield* Effect.forEach(Array.from({ length: 5 }), () => Effect.fork(admin(Effect.never)))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      assert.deepStrictEqual(states()["admin"], { in_hand: 2, waiting: 3, refused: 0 })
      assert.strictEqual((yield* Effect.flip(admin(Effect.void)))._tag, "Busy")
      assert.strictEqual(yield* within("trade")(Effect.succeed("sold")), "sold")
      assert.strictEqual(yield* within("rush")(Effect.succeed("sold")), "sold")
      // A place that becomes free goes to who waits longest.
      yield* Fiber.interrupt(crowd[0]!)
      assert.deepStrictEqual(states()["admin"], { in_hand: 2, waiting: 2, refused: 1 })
      // Real time: the others' patience ends.
      yield* Effect.promise(async () => {
        const until = Date.now() + 10_000
        while (states()["admin"]!.waiting > 0 && Date.now() < until) {
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      })
      assert.deepStrictEqual(states()["admin"], { in_hand: 2, waiting: 0, refused: 3 })
      yield* Fiber.interruptAll(crowd)
      assert.strictEqual(states()["admin"]!.in_hand, 0)
    }),
  )
})
