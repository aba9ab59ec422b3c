/**
 * The load generator: a process of its own, on bare sockets with the bytes of its requests made beforehand, because it
 * shares the machine with what it measures. HTTP/1.1 with keep-alive, one request at a time on each connection.
 */
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { build } from "hdr-histogram-js"
import type { Answer, Outcome, Plan, Requests, Told } from "./Plan.ts"

/** An answer that takes longer than this ends the run: something is broken. */
const PATIENCE_MS = 20_000

/** Connections that are opened at once. */
const OPENING = 256

/** Digits of a product id in a prepared request: it is written over in place. */
const ID_WIDTH = 12
const BODY_PREFIX = '{"product_id":'

interface Prepared {
  readonly keyed: Buffer
  readonly plain: Buffer
}

/** In 10.0.0.0/8, so that one machine is a crowd to what believes its proxy. */
const addressOf = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`

const post = (path: string, token: string, n: number, key: string | undefined, body: string): Buffer =>
  Buffer.from(
    [
      `POST ${path} HTTP/1.1`,
      "host: floodgate",
      `authorization: Bearer ${token}`,
      "content-type: application/json",
      `x-forwarded-for: ${addressOf(n)}`,
      ...(key === undefined ? [] : [`idempotency-key: ${key}`]),
      `content-length: ${body.length}`,
      "",
      body,
    ].join("\r\n"),
    "latin1",
  )

const SECKILL_BODY = `${BODY_PREFIX}${" ".repeat(ID_WIDTH)}}`

const request = (token: string, n: number, keyed: boolean): Buffer =>
  post("/seckill", token, n, keyed ? String(n).padStart(36, "0") : undefined, SECKILL_BODY)

const payment = (token: string, n: number, orderNum: string): Buffer =>
  post(`/orders/${orderNum}/pay`, token, n, orderNum, '{"channel":"balance"}')

let tokens: ReadonlyArray<string> = []
let buyers: ReadonlyArray<Prepared> = []

/** Writes the next request into `at(i)`; undefined where there is none any more. */
const sequence = (requests: Requests): ((i: number) => Buffer | undefined) => {
  if (requests.kind === "get") {
    const heads = requests.paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: floodgate\r\nx-forwarded-for: `)
    // Made once: as many as there can be under way, and then some, so that addresses differ.
    const made = Array.from({ length: Math.max(4_096, heads.length) }, (_, i) =>
      Buffer.from(`${heads[i % heads.length]!}${addressOf(i)}\r\n\r\n`, "latin1"),
    )
    return (i) => made[i % made.length]
  }
  if (requests.kind === "pay") {
    const made = requests.orders.map(([buyer, orderNum]) => payment(tokens[buyer]!, buyer, orderNum))
    return (i) => made[i]
  }
  const { keyed, products } = requests
  const { from, to } = requests.buyers
  const size = to - from
  const ids = products.map((id) => String(id).padStart(ID_WIDTH, " "))
  return (i) => {
    const sweep = Math.floor(i / size)
    if (requests.kind !== "ask" && sweep >= ids.length) return undefined
    const prepared = buyers[from + (i % size)]!
    const bytes = keyed ? prepared.keyed : prepared.plain
    const product = requests.kind === "spread" ? i + sweep : sweep
    bytes.write(ids[product % ids.length]!, bytes.length - ID_WIDTH - 1, "latin1")
    return bytes
  }
}

const HEAD_END = Buffer.from("\r\n\r\n")
const LENGTH = Buffer.from("ontent-length: ")
const CODE = Buffer.from('"code":')

/** The digits at a place. */
const numberAt = (bytes: Buffer, at: number): number => {
  let n = 0
  for (let i = at; i < bytes.length; i++) {
    const digit = bytes[i]! - 48
    if (digit < 0 || digit > 9) break
    n = n * 10 + digit
  }
  return n
}

/** The size of the whole answer that begins here; undefined where its head isn't complete. */
const sizeOf = (bytes: Buffer): number | undefined => {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0) return undefined
  const length = bytes.indexOf(LENGTH)
  return end + 4 + (length < 0 || length > end ? 0 : numberAt(bytes, length + LENGTH.length))
}

const run = (plan: Plan): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const next = sequence(plan.requests)
    const histogram = build({
      bitBucketSize: 64,
      lowestDiscernibleValue: 1,
      highestTrackableValue: 60_000_000,
      numberOfSignificantValueDigits: 3,
    })
    const counts = new Map<number, number>()
    const sockets: Array<Socket> = []
    /** Free connections, the one that was used longest ago first: so none is idle for so long that it is closed. */
    const idle = new Int32Array(plan.connections)
    let idleFrom = 0
    let idleCount = 0
    const free = (index: number): void => {
      idle[(idleFrom + idleCount++) % idle.length] = index
    }
    const takeFree = (): number | undefined => {
      if (idleCount === 0) return undefined
      idleCount--
      const index = idle[idleFrom]
      idleFrom = (idleFrom + 1) % idle.length
      return index
    }
    const clicks: Array<number> = []
    const judged = plan.judged === undefined ? undefined : Number(plan.judged) * 1_000
    const due = new Float64Array(plan.connections)
    const partial: Array<Buffer | undefined> = []
    let sent = 0
    let answered = 0
    let underWay = 0
    let measuring = plan.warmUp === 0
    let startedMs = 0
    let lastMs = 0
    let cpu = process.cpuUsage()
    let over = false
    let ticking: NodeJS.Timeout | undefined
    let watch: NodeJS.Timeout | undefined

    const finish = (error?: Error): void => {
      if (ticking !== undefined) clearInterval(ticking)
      if (watch !== undefined) clearInterval(watch)
      over = true
      for (const socket of sockets) socket.destroy()
      if (error !== undefined) {
        reject(error)
        return
      }
      const seconds = (lastMs - startedMs) / 1_000
      const used = process.cpuUsage(cpu)
      resolve({
        answered: histogram.totalCount,
        seconds,
        sent,
        statuses: Object.fromEntries(
          [...counts].map(([key, n]) => [
            key % 1_000 === 0 ? String(key / 1_000) : `${Math.floor(key / 1_000)}/${key % 1_000}`,
            n,
          ]),
        ),
        p50: histogram.getValueAtPercentile(50) / 1_000,
        p99: histogram.getValueAtPercentile(99) / 1_000,
        p999: histogram.getValueAtPercentile(99.9) / 1_000,
        max: histogram.maxValue / 1_000,
        ownCpu: (used.user + used.system) / 1e6 / seconds,
        clicks,
      })
    }

    const begin = (nowMs: number): void => {
      measuring = true
      startedMs = nowMs
      lastMs = nowMs
      cpu = process.cpuUsage()
    }

    const ended = (nowMs: number): boolean =>
      sent >= plan.most || (measuring && nowMs - startedMs >= plan.forMs)

    /** Sends the next request on this connection; false where there is none. */
    const send = (index: number, dueMs: number): boolean => {
      const bytes = over ? undefined : next(sent)
      if (bytes === undefined) return false
      sent++
      underWay++
      due[index] = dueMs
      if (plan.clicks === true) clicks.push(performance.timeOrigin + dueMs)
      sockets[index]!.write(bytes)
      return true
    }

    const settle = (index: number, bytes: Buffer): void => {
      const nowMs = performance.now()
      const status = numberAt(bytes, 9)
      let code = 0
      if (status >= 400) {
        const at = bytes.indexOf(CODE)
        if (at >= 0) code = numberAt(bytes, at + CODE.length)
      }
      const key = status * 1_000 + code
      counts.set(key, (counts.get(key) ?? 0) + 1)
      underWay--
      answered++
      lastMs = nowMs
      if (measuring) {
        // What was due before the measured time is the warm-up's.
        if (due[index]! >= startedMs && (judged === undefined || judged === key))
          histogram.recordValue(Math.max(1, Math.round((nowMs - due[index]!) * 1_000)))
      } else if (answered >= plan.warmUp) begin(nowMs)
      if (plan.rate === undefined) {
        if ((ended(nowMs) || !send(index, nowMs)) && underWay === 0) finish()
      } else {
        free(index)
      }
    }

    const onData = (index: number, chunk: Buffer): void => {
      const before = partial[index]
      const bytes = before === undefined ? chunk : Buffer.concat([before, chunk])
      const size = sizeOf(bytes)
      if (size === undefined || bytes.length < size) partial[index] = bytes
      else {
        partial[index] = undefined
        if (greeting.delete(index)) isOpen()
        else settle(index, bytes)
      }
    }

    /** Sends what is due by now on the connections that are free; what finds none waits, and its latency says so. */
    const atRate = (rate: number): void => {
      const firstMs = performance.now()
      const gapMs = 1_000 / rate
      let issued = 0
      ticking = setInterval(() => {
        const nowMs = performance.now()
        if (!ended(nowMs)) {
          for (;;) {
            const dueMs = firstMs + issued * gapMs
            const index = dueMs > nowMs ? undefined : takeFree()
            if (index === undefined) break
            if (!send(index, dueMs)) {
              plan = { ...plan, most: sent }
              break
            }
            issued++
          }
        } else if (underWay === 0) finish()
      }, 1)
    }

    let seen = -1
    watch = setInterval(() => {
      if (answered === seen)
        finish(new Error(`no answer for ${PATIENCE_MS} ms; ${underWay} requests under way`))
      seen = answered
    }, PATIENCE_MS)

    /** Connections whose first words haven't been answered. */
    const greeting = new Set<number>()
    let open = 0
    let opening = 0
    const start = (): void => {
      const nowMs = performance.now()
      if (measuring) begin(nowMs)
      if (plan.rate === undefined) for (let i = 0; i < plan.connections; i++) send(i, nowMs)
      else {
        for (let i = 0; i < plan.connections; i++) free(i)
        atRate(plan.rate)
      }
    }
    const isOpen = (): void => {
      if (opening < plan.connections) openOne()
      if (++open === plan.connections) start()
    }
    const openOne = (): void => {
      const index = opening++
      const socket = connect({ port: plan.port, host: "127.0.0.1", noDelay: true })
      sockets.push(socket)
      partial.push(undefined)
      socket.on("data", (chunk) => onData(index, chunk))
      socket.on("error", (error) => {
        if (!over) finish(error)
      })
      socket.on("close", () => {
        if (!over) finish(new Error("a connection was closed by the server"))
      })
      socket.on("connect", () => {
        const words = plan.greets === true ? next(0) : undefined
        if (words === undefined) isOpen()
        else {
          greeting.add(index)
          socket.write(words)
        }
      })
    }
    // No more at once than a server's backlog takes.
    while (opening < Math.min(OPENING, plan.connections)) openOne()
  })

const answer = (message: Answer): void => {
  process.send?.(message)
}

process.on("message", (told: Told) => {
  if (told.what === "buyers") {
    tokens = readFileSync(told.file, "latin1")
      .split("\n")
      .filter((line) => line !== "")
    buyers = tokens.map((token, n) => ({ keyed: request(token, n, true), plain: request(token, n, false) }))
    answer({ what: "ready" })
  } else {
    run(told.plan).then(
      (outcome) => answer({ what: "outcome", outcome }),
      (error) => answer({ what: "failed", reason: String(error) }),
    )
  }
})
process.on("disconnect", () => process.exit(0))
answer({ what: "ready" })
