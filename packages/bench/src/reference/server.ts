/**
 * What we are measured against, one process on bare `node:http`:
 *
 * - `constant`: the same answer to whatever comes;
 * - `reserve`: one `EVALSHA` of our own reserve script a request, by ioredis, and nothing else: no token, no limit, no
 *   metric, no trace, no batch, no order number that could be checked;
 * - `verify`: the same, and one RSA-2048 verification of the request's token.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Redis } from "ioredis"

export interface Settings {
  readonly mode: "constant" | "reserve" | "verify"
  readonly redisUrl: string
  /** The file of `lua/reserve.lua`. */
  readonly script: string
  /** PEM. */
  readonly publicKey: string
  /** Distinguishes the keys of one round from those of another. */
  readonly tag: string
}

/** As large as an answer of ours to a sold-out sale. */
const CONSTANT = JSON.stringify({ code: 510, msg: "sold out", data: { left: 0 } })
const GENERATION = 1
const STOCK = 100_000_000
const MAX_OPEN = 100_000_000
const DEADLINE_MS = 800

type Listener = (request: IncomingMessage, response: ServerResponse) => void

const send = (response: ServerResponse, status: number, body: string): void => {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(body),
  })
  response.end(body)
}

const readJson = (request: IncomingMessage, done: (body: { product_id: number }) => void): void => {
  let text = ""
  request.on("data", (chunk) => {
    text += chunk
  })
  request.on("end", () => done(JSON.parse(text)))
}

/** Whether a token was signed by this key, and whose it is. */
const userOf = (authorization: string, key: KeyObject): number => {
  const token = authorization.slice("Bearer ".length)
  const second = token.lastIndexOf(".")
  const signed = Buffer.from(token.slice(0, second), "latin1")
  if (!verify("RSA-SHA256", signed, key, Buffer.from(token.slice(second + 1), "base64url"))) return 0
  const claims = Buffer.from(token.slice(token.indexOf(".") + 1, second), "base64url").toString()
  return Number(JSON.parse(claims).sub)
}

const reserving = async ({ mode, publicKey, redisUrl, script, tag }: Settings): Promise<Listener> => {
  const redis = new Redis(redisUrl, { enableOfflineQueue: false, lazyConnect: true })
  await redis.connect()
  redis.defineCommand("reserve", { lua: readFileSync(script, "utf8"), numberOfKeys: 4 })
  const reserve = (
    redis as unknown as { reserve: (...args: ReadonlyArray<string | number>) => Promise<Array<number>> }
  ).reserve
  const runId = /run_id:(\w+)/.exec(await redis.info("server"))![1]!
  const keys = ["fence", "stream", "p", "b"].map((name) => `{bench-${tag}}:${name}`)
  await redis.hset(keys[0]!, { run_id: runId, epoch: 1 })
  await redis.hset(keys[2]!, {
    gen: GENERATION,
    open: 1,
    start: 0,
    end: 0,
    limit: 1,
    price: 100,
    stock: STOCK,
    ver: 1,
  })
  const key = createPublicKey(publicKey)
  let count = 0
  const answer = (user: number, response: ServerResponse): void => {
    const orderNum = `${tag}${String(count).padStart(38 - tag.length, "0")}`
    const deadline = Date.now() + DEADLINE_MS
    reserve.call(redis, ...keys, GENERATION, MAX_OPEN, 1, user, 1, `r${user}`, deadline, orderNum).then(
      (reply) => {
        if (reply[4] === 0) {
          send(
            response,
            202,
            JSON.stringify({ code: 0, msg: "ok", data: { order_num: orderNum, status: "queued" } }),
          )
        } else send(response, 409, JSON.stringify({ code: reply[4], msg: "refused", data: null }))
      },
      () => send(response, 503, JSON.stringify({ code: 530, msg: "busy", data: null })),
    )
  }
  return (request, response) =>
    readJson(request, () => {
      count++
      if (mode === "reserve") answer(count, response)
      else {
        const user = userOf(request.headers.authorization ?? "", key)
        if (user === 0) send(response, 401, JSON.stringify({ code: 401, msg: "who?", data: null }))
        else answer(user, response)
      }
    })
}

const settings = JSON.parse(process.argv[2]!) as Settings
const listener: Listener =
  settings.mode === "constant"
    ? (_request, response) => send(response, 200, CONSTANT)
    : await reserving(settings)
const server = createServer(listener)
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
