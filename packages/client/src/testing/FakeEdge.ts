/** A small HTTP server in the edge's place, so that a test says what is answered, dropped, or held back. */
import * as Http from "node:http"
import type * as Net from "node:net"

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: any
}

export type Answer = (asked: Asked, response: Http.ServerResponse) => void

export interface FakeEdge {
  readonly url: string
  readonly asked: ReadonlyArray<Asked>
  readonly close: () => Promise<void>
}

/** `{code, msg, data}` with a status. */
export const json =
  (status: number, code: number, data: unknown, headers: Record<string, string> = {}): Answer =>
  (_asked, response) => {
    response.writeHead(status, {
      "content-type": "application/json",
      "x-trace-id": "0af7651916cd43dd8448eb211c80319c",
      "x-server-time": String(Date.now() + 5_000),
      ...headers,
    })
    response.end(JSON.stringify({ code, msg: code === 0 ? "ok" : "no", data }))
  }

/** The connection ends without an answer, as when an edge dies. */
export const drop: Answer = (_asked, response) => {
  response.destroy()
}

/** Asks `answer` for each request, one at a time. */
export const start = (answer: Answer): Promise<FakeEdge> =>
  new Promise((resolve) => {
    const asked: Array<Asked> = []
    const server = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const text = Buffer.concat(chunks).toString()
        const one = {
          method: request.method ?? "",
          path: request.url ?? "",
          headers: request.headers,
          body: text === "" ? undefined : JSON.parse(text),
        }
        asked.push(one)
        answer(one, response)
      })
    })
    server.listen(0, "127.0.0.1", () =>
      resolve({
        url: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`,
        asked,
        close: () =>
          new Promise((done) => {
            server.close(() => done())
            server.closeAllConnections()
          }),
      }),
    )
  })

/** The answers in turn; the last one for all further requests. */
export const inTurn = (...answers: ReadonlyArray<Answer>): Answer => {
  let next = 0
  return (asked, response) => answers[Math.min(next++, answers.length - 1)]!(asked, response)
}
