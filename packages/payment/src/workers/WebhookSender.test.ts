import { randomUUID } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, layer, it as test } from "@effect/vitest"
import type { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import * as Signature from "@floodgate/contracts/payment/CallbackSignature"
import * as Deadlines from "@floodgate/runtime/resilience/Deadlines"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { type EventType, pauseAfter, retries } from "../domain/Webhook.ts"
import { WebhookStore } from "../store/WebhookStore.ts"
import * as Fixture from "../testing/Fixture.ts"
import * as Post from "../webhooks/Post.ts"
import { isPublic, refusalOf } from "../webhooks/PublicAddress.ts"
import { WebhookConfig } from "../webhooks/WebhookConfig.ts"
import * as WebhookEvents from "./WebhookEvents.ts"
import { SIGNATURE_HEADER, WebhookSender } from "./WebhookSender.ts"

const settings = Layer.succeed(WebhookConfig, {
  allowLoopback: true,
  sealing: [Redacted.make("a sealing key of the tests")],
  retries: { firstS: 1, maxS: 1, attempts: 3 },
})

const live = WebhookSender.layer.pipe(
  Layer.provideMerge(WebhookStore.layer),
  Layer.provideMerge(settings),
  Layer.provideMerge(Deadlines.Deadlines.layerOf({ "provider.call": 1_000 })),
  Layer.provideMerge(TestMysql.layer({ migrations: ["payment"], main: "payment" })),
)

interface Got {
  readonly body: string
  readonly signature: string
}

/** An endpoint of somebody else's, which answers as it is told to. */
const endpoint = (answer: (response: Http.ServerResponse, nth: number) => void = (r) => r.end()) =>
  Effect.gen(function* () {
    const got: Array<Got> = []
    const http = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        got.push({
          body: Buffer.concat(chunks).toString("utf8"),
          signature: String(request.headers[SIGNATURE_HEADER]),
        })
        answer(response, got.length)
      })
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        http.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          http.closeAllConnections()
          http.close()
        }),
    )
    return { got, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/hook` }
  })

const register = (url: string, events: ReadonlyArray<EventType> = ["order.paid"]) =>
  Effect.flatMap(WebhookStore, (store) =>
    store.create({ url, events, description: "", actorId: 1, reason: "a test", key: undefined }),
  )

const change = (orderNum: string, version = 3) => ({
  order_num: orderNum,
  user_id: 7,
  product_id: 42,
  generation: 1,
  quantity: 2,
  state: "paid" as const,
  version,
  payment_id: "pay_1",
})

const happened = (type: OrderEvent["type"], orderNum: string, version = 3) => {
  const event: OrderEvent = {
    event_id: randomUUID(),
    type,
    version: 1,
    aggregate: orderNum,
    occurred_at: "2026-01-31T08:00:00.000Z",
    changes: [change(orderNum, version)],
  }
  return WebhookEvents.handle([
    {
      topic: "order.events",
      partition: 0,
      offset: "0",
      key: orderNum,
      headers: { "event-type": type },
      value: new TextEncoder().encode(JSON.stringify(event)),
    } as never,
  ])
}

const eventually = (what: string, condition: () => boolean) =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.fail(what))).pipe(
    Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 400 }),
    Effect.orDie,
  )

const stateOf = (webhookId: number) =>
  Effect.flatMap(WebhookStore, (store) =>
    store.deliveries(webhookId, { state: undefined, before: undefined, limit: 100 }),
  )

layer(live, { timeout: "120 seconds", excludeTestServices: true })("webhooks", (it) => {
  it.scoped("tell what was asked for, signed by the endpoint's own secret, once whatever is repeated", () =>
    Effect.gen(function* () {
      const shop = yield* endpoint()
      const { secret, webhook } = yield* register(shop.url, ["order.paid", "order.refunded"])
      const orderNum = Fixture.order()
      for (let i = 0; i < 3; i++) yield* happened("order.paid", orderNum)
      yield* happened("order.cancelled", orderNum, 4)
      yield* happened("order.refunded", orderNum, 5)
      yield* eventually("both arrive", () => shop.got.length === 2)
      const bodies = shop.got.map(({ body }) => JSON.parse(body)).sort((a, b) => a.version - b.version)
      assert.deepStrictEqual(
        bodies.map((b) => [b.event_id, b.type, b.order_num]),
        [
          [`${orderNum}.3`, "order.paid", orderNum],
          [`${orderNum}.5`, "order.refunded", orderNum],
        ],
      )
      assert.deepInclude(bodies[0], { user_id: 7, product_id: 42, quantity: 2, reason: null })
      for (const { body, signature } of shop.got) {
        const bytes = new TextEncoder().encode(body)
        assert.isTrue(Signature.verify([secret], Date.now(), signature, bytes))
        assert.isFalse(Signature.verify(["another"], Date.now(), signature, bytes))
      }
      yield* Effect.gen(function* () {
        const after = yield* (yield* WebhookStore).get(webhook.id)
        return yield* after.delivered === 2 ? Effect.void : Effect.fail("not yet")
      }).pipe(Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 100 }))
      const kept = yield* Fixture.rows<{ secret_sealed: Buffer }>(
        "SELECT secret_sealed FROM webhook WHERE id = ?",
        webhook.id,
      )
      assert.notInclude(Buffer.from(kept[0]!.secret_sealed).toString("latin1"), secret)
    }),
  )

  it.scoped("a dead endpoint delays no other, is tried again, given up, and told on demand", () =>
    Effect.gen(function* () {
      let dead = true
      const silent = yield* endpoint((response) => {
        if (!dead) response.end()
      })
      const healthy = yield* endpoint()
      const store = yield* WebhookStore
      const a = yield* register(silent.url)
      yield* register(healthy.url)
      const started = Date.now()
      const orderNums = Array.from({ length: 8 }, Fixture.order)
      for (const orderNum of orderNums) yield* happened("order.paid", orderNum)
      yield* eventually("the healthy one has all", () => healthy.got.length === orderNums.length)
      assert.isBelow(Date.now() - started, 10_000)
      yield* Effect.gen(function* () {
        const { failed } = yield* store.get(a.webhook.id)
        return yield* failed === orderNums.length ? Effect.void : Effect.fail(failed)
      }).pipe(Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 200 }))
      for (const delivery of yield* stateOf(a.webhook.id))
        assert.deepInclude(delivery, { state: "failed", attempts: 3, lastStatus: null })
      dead = false
      const before = silent.got.length
      const wish = { webhookId: a.webhook.id, deliveryId: 0, actorId: 1, reason: "they are back" }
      assert.strictEqual(yield* store.redeliver({ ...wish, requestId: "r1" }), orderNums.length)
      yield* (yield* WebhookSender).nudge
      yield* eventually("all arrive", () => silent.got.length >= before + orderNums.length)
      const [one] = yield* stateOf(a.webhook.id)
      assert.strictEqual(yield* store.redeliver({ ...wish, deliveryId: one!.id, requestId: "r2" }), 1)
      assert.strictEqual(
        (yield* Effect.flip(store.redeliver({ ...wish, deliveryId: 999_999, requestId: "r3" })))._tag,
        "NotFound",
      )
    }),
  )

  it.scoped("a redirect isn't followed, an error is tried again, a long answer is cut", () =>
    Effect.gen(function* () {
      const target = yield* endpoint()
      const redirects = yield* endpoint((response, nth) => {
        if (nth === 1) response.writeHead(302, { location: target.url }).end()
        else if (nth === 2) response.writeHead(500).end()
        else {
          response.writeHead(200)
          const more = () => {
            if (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) setImmediate(more)
          }
          more()
        }
      })
      const { webhook } = yield* register(redirects.url)
      yield* happened("order.paid", Fixture.order())
      yield* eventually("three attempts", () => redirects.got.length === 3)
      yield* Effect.gen(function* () {
        const [delivery] = yield* stateOf(webhook.id)
        return yield* delivery?.state === "delivered" ? Effect.void : Effect.fail(delivery)
      }).pipe(Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 100 }))
      assert.lengthOf(target.got, 0)
      yield* (yield* WebhookStore).remove(webhook.id, 1, "over")
      yield* happened("order.paid", Fixture.order())
      assert.strictEqual((yield* Effect.flip((yield* WebhookStore).get(webhook.id)))._tag, "NotFound")
      const left = yield* Fixture.rows("SELECT id FROM webhook_delivery WHERE webhook_id = ?", webhook.id)
      assert.lengthOf(left, 1)
    }),
  )

  it.effect("the same wish to register makes one endpoint, and tells its secret again", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const wish = {
        url: "https://crm.example.com/hook",
        events: ["order.paid"] as const,
        description: "",
        actorId: 1,
        reason: "crm",
        key: { scope: "webhook:1", keyHash: "k".repeat(64), bodyHash: "b".repeat(64) },
      }
      const made = yield* Effect.all([store.create(wish), store.create(wish)], { concurrency: 2 })
      assert.strictEqual(made[0].webhook.id, made[1].webhook.id)
      assert.strictEqual(made[0].secret, made[1].secret)
      assert.sameMembers(
        made.map(({ replayed }) => replayed),
        [true, false],
      )
      yield* store.remove(made[0].webhook.id, 1, "over")
    }),
  )

  it.effect("a name that stands for a private address isn't called", () =>
    Effect.gen(function* () {
      const to = (url: string, allowLoopback = false) =>
        Effect.flip(Post.post({ url, headers: {}, body: new Uint8Array(), allowLoopback }))
      for (const url of [
        "https://localhost.localdomain:1/",
        "http://example.com/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
      ])
        assert.strictEqual((yield* to(url))._tag, "NotReached", url)
      // This machine is allowed, and nobody is there.
      assert.match((yield* to("http://127.0.0.1:1/", true)).reason, /ECONNREFUSED/)
    }),
  )
})

describe("where webhooks may go", () => {
  test("public addresses only, whatever they are dressed as", () => {
    for (const good of ["93.184.216.34", "2606:2800:220:1::1"]) assert.isTrue(isPublic(good), good)
    for (const bad of [
      ...["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"],
      ...["224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00::1", "::ffff:10.0.0.1"],
      ...["64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1", "ff02::1", "not an address"],
    ])
      assert.isFalse(isPublic(bad), bad)
  })

  test("https, no name and password, and this machine only where it is allowed", () => {
    for (const good of ["https://crm.example.com/hook?a=1", "https://93.184.216.34:8443/"])
      assert.isUndefined(refusalOf(good, false), good)
    for (const bad of [
      ...["http://crm.example.com/", "ftp://crm.example.com/", "https://a:b@crm.example.com/", "/hook", ""],
      ...[
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://localhost/",
      ],
      ...[
        "https://intranet/",
        "https://db.internal/",
        "https://[::ffff:10.0.0.1]/",
        "https://a.example.com/#x",
      ],
    ])
      assert.isDefined(refusalOf(bad, false), bad)
    assert.isUndefined(refusalOf("http://127.0.0.1:3000/", true))
    assert.isUndefined(refusalOf("http://localhost:3000/", true))
    assert.isDefined(refusalOf("http://10.0.0.1/", true))
  })

  test("pauses grow up to an hour, and end", () => {
    const pauses = Array.from({ length: 16 }, (_, i) => pauseAfter(retries, i + 1))
    assert.deepStrictEqual(pauses.slice(0, 4), [5, 10, 20, 40])
    assert.strictEqual(pauses[14], 3_600)
    assert.isUndefined(pauses[15])
  })
})
