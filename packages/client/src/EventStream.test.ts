import type * as Http from "node:http"
import { afterEach, assert, describe, it } from "vitest"
import { createClient } from "./Client.ts"
import type { StreamOptions } from "./EventStream.ts"
import * as Tokens from "./Tokens.ts"
import { type Answer, drop, type FakeEdge, inTurn, json, start } from "./testing/FakeEdge.ts"

const edges: Array<FakeEdge> = []
const streams: Array<{ readonly close: () => void }> = []
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close()
  await Promise.all(edges.splice(0).map((edge) => edge.close()))
})

const tell = (response: Http.ServerResponse, event: string, data: unknown, id?: string): void => {
  response.write(`${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}

const opened =
  (after: (response: Http.ServerResponse) => void): Answer =>
  (asked, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    // Short, so that the tests needn't wait for what people may.
    response.write("retry: 500\n\n")
    const topics = new URL(asked.path, "http://edge").searchParams.get("topics")?.split(",")
    tell(response, "ready", { stream_id: "s1", topics, server_time: 1 })
    after(response)
  }

const follow = async (answer: Answer, options: Partial<StreamOptions> = {}) => {
  const edge = await start(answer)
  edges.push(edge)
  const client = createClient({
    baseUrl: edge.url,
    tokens: Tokens.inMemory({ access_token: "a1", refresh_token: "r1" }),
  })
  const heard: Array<readonly [string, any]> = []
  const connections: Array<boolean> = []
  let ended: { readonly code: number | undefined } | undefined
  const stream = client.events({
    topics: ["orders", "stock:4"],
    on: (event, data) => heard.push([event, data]),
    onConnection: (connected) => connections.push(connected),
    onEnd: (reason) => {
      ended = { code: reason?.code }
    },
    ...options,
  })
  streams.push(stream)
  return { edge, stream, heard, connections, ended: () => ended }
}

const until = async (condition: () => boolean): Promise<void> => {
  for (const began = Date.now(); !condition(); ) {
    assert.isBelow(Date.now() - began, 20_000, "it never came")
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe("a stream", () => {
  it("tells what the edge tells, with the token in a header and the topics in the query", async () => {
    const { edge, heard } = await follow(
      opened((response) => tell(response, "stock.updated", { product_id: 4, stock: 9 }, "7")),
    )
    await until(() => heard.length === 2)
    assert.deepStrictEqual(heard[1], ["stock.updated", { product_id: 4, stock: 9 }])
    assert.strictEqual(edge.asked[0]?.path, "/events?topics=orders%2Cstock%3A4")
    assert.strictEqual(edge.asked[0]?.headers.authorization, "Bearer a1")
  })

  it("comes back after the edge died, and goes on where it was", async () => {
    const { connections, edge, heard } = await follow(
      inTurn(
        opened((response) => {
          tell(response, "order.updated", { order_num: "n1", state: "unpaid" }, "41")
          setTimeout(() => response.destroy(), 50)
        }),
        drop,
        opened((response) => tell(response, "order.updated", { order_num: "n1", state: "paid" }, "42")),
      ),
    )
    await until(() => heard.some(([, data]) => data.state === "paid"))
    assert.deepStrictEqual(
      edge.asked.map((asked) => asked.headers["last-event-id"]),
      [undefined, "41", "41"],
    )
    assert.deepStrictEqual(connections, [true, false, true])
  })

  it("changes its topics while it is open, and keeps them when it comes back", async () => {
    let first: Http.ServerResponse | undefined
    const { edge, heard, stream } = await follow((asked, response) => {
      if (asked.method === "PUT") return json(200, 0, null)(asked, response)
      opened((open) => {
        first ??= open
      })(asked, response)
    })
    await until(() => heard.length === 1)
    await stream.subscribe(["stock:5"])
    assert.include(edge.asked[1], { method: "PUT", path: "/events/s1" })
    assert.deepStrictEqual(edge.asked[1]?.body, { topics: ["stock:5"] })
    first?.destroy()
    await until(() => edge.asked.length === 3)
    assert.strictEqual(edge.asked[2]?.path, "/events?topics=stock%3A5")
  })

  it("says goodbye with an expired token: refreshes it and comes back", async () => {
    const { edge, heard } = await follow((asked, response) => {
      if (asked.path === "/token/refresh") {
        return json(200, 0, { access_token: "a2", refresh_token: "r2" })(asked, response)
      }
      opened((open) => {
        if (asked.headers.authorization === "Bearer a1") {
          tell(open, "bye", { code: 401 })
          open.end()
        }
      })(asked, response)
    })
    await until(() => heard.filter(([event]) => event === "ready").length === 2)
    assert.strictEqual(edge.asked.at(-1)?.headers.authorization, "Bearer a2")
  })

  it("ends for a banned account, and where it is refused", async () => {
    const banned = await follow(
      opened((response) => {
        tell(response, "bye", { code: 701 })
        response.end()
      }),
    )
    await until(() => banned.ended() !== undefined)
    assert.deepStrictEqual(banned.ended(), { code: 701 })

    const refused = await follow(json(400, 400, { issues: [] }))
    await until(() => refused.ended() !== undefined)
    assert.deepStrictEqual(refused.ended(), { code: 400 })
    assert.lengthOf(refused.edge.asked, 1)
  })

  it("is over when it is closed", async () => {
    const { edge, ended, heard, stream } = await follow(opened(() => undefined))
    await until(() => heard.length === 1)
    stream.close()
    await until(() => ended() !== undefined)
    assert.deepStrictEqual(ended(), { code: undefined })
    assert.lengthOf(edge.asked, 1)
  })
})
