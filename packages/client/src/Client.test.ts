import { afterEach, assert, describe, it } from "vitest"
import { type ClientOptions, createClient, unwrap } from "./Client.ts"
import { FloodgateError, isFloodgateError, NoAnswer } from "./FloodgateError.ts"
import * as Tokens from "./Tokens.ts"
import { type Answer, drop, type FakeEdge, inTurn, json, start } from "./testing/FakeEdge.ts"

const edges: Array<FakeEdge> = []
afterEach(async () => {
  await Promise.all(edges.splice(0).map((edge) => edge.close()))
})

const against = async (answer: Answer, options: Partial<ClientOptions> = {}) => {
  const edge = await start(answer)
  edges.push(edge)
  return { edge, client: createClient({ baseUrl: edge.url, ...options }) }
}

const failureOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  return assert.fail("it succeeded")
}

const queued = json(202, 0, { order_num: "n1", status: "queued", poll_after_ms: 100 })
const session = (n: number) => ({ access_token: `a${n}`, refresh_token: `r${n}`, user: { id: 1 } })

describe("a call", () => {
  it("answers the data alone, and learns the edge's clock", async () => {
    const { client } = await against(json(200, 0, { id: 4, name: "A lamp" }))
    assert.strictEqual((await client.product(4)).name, "A lamp")
    assert.approximately(client.serverOffsetMs(), 5_000, 1_000)
  })

  it("fails with the catalogue's code, its data, and the trace to ask support for", async () => {
    const { client } = await against(json(409, 511, { order_num: "n1", order_nums: ["n1"], limit: 1 }))
    const error = await failureOf(client.seckill({ product_id: 4 }))
    assert.instanceOf(error, FloodgateError)
    assert.isTrue(isFloodgateError(error, 511))
    if (isFloodgateError(error, 511)) assert.strictEqual(error.data?.order_num, "n1")
    assert.include(error, {
      status: 409,
      reason: "ALREADY_BOUGHT",
      traceId: "0af7651916cd43dd8448eb211c80319c",
    })
  })

  it("something that isn't Floodgate's is no answer", async () => {
    const { client } = await against((_asked, response) => response.writeHead(502).end("<html>"))
    assert.instanceOf(await failureOf(client.product(4)), NoAnswer)
  })

  it("sends language and device, and the session's token", async () => {
    const { client, edge } = await against(json(200, 0, null), {
      language: "zh",
      deviceId: "d1",
      tokens: Tokens.inMemory({ access_token: "a1", refresh_token: "r1" }),
    })
    await unwrap(client.http.GET("/wallet"))
    assert.include(edge.asked[0]?.headers, {
      "accept-language": "zh",
      "x-device-id": "d1",
      authorization: "Bearer a1",
    })
  })
})

describe("repeating", () => {
  it("a lost answer to a wish is asked for again with the same key, so nothing is bought twice", async () => {
    const { client, edge } = await against(inTurn(drop, queued))
    assert.strictEqual((await client.seckill({ product_id: 4 })).order_num, "n1")
    const keys = edge.asked.map((asked) => asked.headers["idempotency-key"])
    assert.lengthOf(keys, 2)
    assert.match(String(keys[0]), /^[0-9a-f-]{36}$/)
    assert.strictEqual(keys[0], keys[1])
  })

  it("waits as long as the edge asks, and leaves a longer wait to the caller", async () => {
    const busy = (seconds: string) => json(503, 530, { order_num: "n1" }, { "retry-after": seconds })
    const patient = await against(inTurn(busy("1"), queued))
    const began = Date.now()
    await patient.client.seckill({ product_id: 4 })
    assert.isAtLeast(Date.now() - began, 990)

    const { client, edge } = await against(busy("60"))
    const error = await failureOf(client.seckill({ product_id: 4 }))
    assert.isTrue(isFloodgateError(error, 530))
    assert.include(error, { retryAfterMs: 60_000 })
    if (isFloodgateError(error, 530)) assert.strictEqual(error.data?.order_num, "n1")
    assert.lengthOf(edge.asked, 1)
  })

  it("ends after as many attempts as it was told", async () => {
    const { client, edge } = await against(drop, { attempts: 2 })
    assert.instanceOf(await failureOf(client.product(4)), NoAnswer)
    assert.lengthOf(edge.asked, 2)
  })

  it("never repeats what isn't safe: signing in, and a write without a key", async () => {
    const { client, edge } = await against(drop)
    assert.instanceOf(await failureOf(client.login("alice", "a password")), NoAnswer)
    await failureOf(
      unwrap(
        client.http.DELETE("/profile", {
          body: { password: "a password" },
        }),
      ),
    )
    assert.deepStrictEqual(
      edge.asked.map((asked) => asked.path),
      ["/login", "/profile"],
    )
  })

  it("no outcome of a sale is asked for twice", async () => {
    const { client, edge } = await against(json(409, 510, { left: 0 }))
    await failureOf(client.seckill({ product_id: 4 }))
    assert.lengthOf(edge.asked, 1)
  })

  it("a silent edge is no answer, within the time-out", async () => {
    const { client } = await against(() => undefined, { timeoutMs: 200, attempts: 1 })
    assert.match(String(await failureOf(client.product(4))), /No answer within 200 ms/)
  })
})

describe("the session", () => {
  const tokens = () => Tokens.inMemory({ access_token: "a1", refresh_token: "r1" })

  it("an expired token is refreshed once, however many calls meet it", async () => {
    const { client, edge } = await against(
      (asked, response) => {
        const answer =
          asked.path === "/token/refresh"
            ? json(200, 0, session(2))
            : asked.headers.authorization === "Bearer a2"
              ? json(200, 0, { balance: 1 })
              : json(401, 401, null)
        answer(asked, response)
      },
      { tokens: tokens() },
    )
    const balances = await Promise.all(Array.from({ length: 5 }, () => unwrap(client.http.GET("/wallet"))))
    assert.lengthOf(balances, 5)
    const refreshes = edge.asked.filter((asked) => asked.path === "/token/refresh")
    assert.lengthOf(refreshes, 1)
    assert.deepStrictEqual(refreshes[0]?.body, { refresh_token: "r1" })
  })

  it("a wrong password is not an expired token", async () => {
    const { client, edge } = await against(json(401, 502, null), { tokens: tokens() })
    const password = { old_password: "not this one", new_password: "another one" }
    assert.isTrue(
      isFloodgateError(await failureOf(unwrap(client.http.POST("/password", { body: password }))), 502),
    )
    assert.lengthOf(edge.asked, 1)
  })

  it("ends where the edge says so, and only then", async () => {
    let ended = 0
    const onSignedOut = () => {
      ended++
    }
    const refused = await against(json(401, 401, null), { tokens: tokens(), onSignedOut })
    assert.isTrue(isFloodgateError(await failureOf(unwrap(refused.client.http.GET("/wallet"))), 401))
    assert.isFalse(refused.client.signedIn())
    assert.strictEqual(ended, 1)

    const busy = await against(
      (asked, response) =>
        (asked.path === "/token/refresh" ? json(503, 530, null) : json(401, 401, null))(asked, response),
      { tokens: tokens(), onSignedOut },
    )
    assert.isTrue(isFloodgateError(await failureOf(unwrap(busy.client.http.GET("/wallet"))), 530))
    assert.isTrue(busy.client.signedIn())
    assert.strictEqual(ended, 1)
  })

  it("signing in keeps the tokens, signing out forgets them even without the edge", async () => {
    const { client } = await against(inTurn(json(200, 0, session(1)), drop))
    await client.login("alice", "a password")
    assert.isTrue(client.signedIn())
    await failureOf(client.logout())
    assert.isFalse(client.signedIn())
  })
})

it("an order is waited for until it is no longer queued", async () => {
  const order = (state: string) => json(200, 0, { order_num: "n1", state })
  const { client, edge } = await against(inTurn(order("queued"), order("queued"), order("unpaid")))
  assert.strictEqual((await client.waitForOrder("n1")).state, "unpaid")
  assert.lengthOf(edge.asked, 3)
})
