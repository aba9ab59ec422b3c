/** Five thousand people who just listen, on one edge: what they cost, and what some who don't read cost the others. */
import { spawn } from "node:child_process"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { assert, layer } from "@effect/vitest"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Effect from "effect/Effect"
import { until } from "../testing/Listening.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import { Journal } from "./Journal.ts"

const STREAMS = 5_000
/** As many as one user may have. */
const SLOW = 10

/** What a stream may cost (bytes), sockets and all: twice the 18.6 KB that it was when this was written. */
const BYTES_A_STREAM = 40 * 1024

/**
 * The listeners, in a process of their own: else this one's memory would be theirs, too. It says how many streams were
 * greeted, how many heard of a stock of 4, and how many were cut off; on a line of its own each time a number changes.
 */
const crowd = `
  const net = require("node:net")
  const [port, streams, slow, token] = process.argv.slice(1)
  const said = { ready: 0, heard: 0, slow: 0, lost: 0, cut: 0 }
  let changed = false
  const say = (name) => { said[name]++; changed = true }
  setInterval(() => { if (changed) { changed = false; console.log(JSON.stringify(said)) } }, 100)
  const open = (path, headers, onData, onClose) => {
    const socket = net.connect(Number(port), "127.0.0.1")
    socket.on("connect", () => socket.write("GET " + path + " HTTP/1.1\\r\\nHost: x\\r\\n" + headers + "\\r\\n\\r\\n"))
    socket.on("data", (chunk) => onData(chunk.toString("latin1"), socket))
    socket.on("error", () => {})
    socket.on("close", onClose)
  }
  for (let i = 0; i < slow; i++) {
    let greeted = false
    open("/events?topics=orders", "Authorization: " + token, (text, socket) => {
      if (greeted || !text.includes("event: ready")) return
      greeted = true
      say("slow")
      socket.pause()
    }, () => {})
  }
  let begun = 0
  const next = () => {
    // A few at once, as a balancer lets them in.
    if (begun === Number(streams)) return
    const n = begun++
    let greeted = false, heard = false
    const address = "10.1." + (n % 250) + "." + Math.floor(n / 250)
    open("/events?topics=stock:7", "X-Forwarded-For: " + address, (text) => {
      if (!greeted && text.includes("event: ready")) { greeted = true; say("ready"); next() }
      if (!heard && text.includes('"stock":4,')) { heard = true; say("heard") }
    }, () => { say("lost"); if (!greeted) next() })
  }
  for (let i = 0; i < 64; i++) next()
  process.stdin.resume()
  process.stdin.on("end", () => process.exit(0))
`

interface Said {
  readonly ready: number
  readonly heard: number
  readonly slow: number
  readonly lost: number
}

v8.setFlagsFromString("--expose_gc")
const collect = vm.runInNewContext("gc") as () => void

const resident = (): number => {
  collect()
  return process.memoryUsage().rss
}

const gauge = (name: string): number => {
  Instrument.readAll()
  return Instrument.read(name)[0]?.value ?? Number.NaN
}

const inventory = { stock: 5n }

layer(
  TestEdge.layer({
    inventory: {
      getProduct: ({ productId }) =>
        Effect.sync(() => Messages.product({ id: BigInt(productId ?? 0), stock: inventory.stock })),
    },
  }),
  { excludeTestServices: true },
)("5,000 open streams", (it) => {
  it.scoped(
    "cost a bounded memory, hear what there is to hear, and aren't held up by readers that don't read",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        const journal = yield* Journal
        const before = resident()
        const droppedBefore = gauge("floodgate_sse_streams_dropped_total")
        const { authorization } = TestEdge.bearer({ userId: 7 })
        let said: Said = { ready: 0, heard: 0, slow: 0, lost: 0 }
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(
              process.execPath,
              ["-e", crowd, String(port), String(STREAMS), String(SLOW), authorization],
              {
                stdio: ["pipe", "pipe", "inherit"],
              },
            ),
          ),
          (running) => Effect.sync(() => running.kill("SIGKILL")),
        )
        child.stdout.on("data", (chunk: Buffer) => {
          const line = chunk.toString("utf8").trimEnd().split("\n").at(-1)
          if (line?.endsWith("}") === true) said = JSON.parse(line)
        })
        yield* until(
          "everybody is greeted",
          () => said.ready === STREAMS && said.slow === SLOW,
          "150 seconds",
        )
        assert.strictEqual(said.lost, 0)
        assert.strictEqual(gauge("floodgate_sse_streams_open"), STREAMS + SLOW)
        const each = (resident() - before) / STREAMS
        assert.isBelow(each, BYTES_A_STREAM, `${Math.round(each)} bytes a stream`)

        // More than sockets and buffers hold, to readers that take none of it.
        const order = (n: number) =>
          [7, `n${n}`.padEnd(38, "0"), "unpaid", 1, "2026-01-01T00:00:00.000Z"] as const
        const dropped = () => gauge("floodgate_sse_streams_dropped_total") - droppedBefore
        for (let page = 0; page < 200 && dropped() < SLOW; page++) {
          yield* Effect.orDie(
            journal.append({ orders: Array.from({ length: 500 }, (_, i) => order(page * 500 + i)) }),
          )
          yield* Effect.sleep("100 millis")
        }
        assert.strictEqual(dropped(), SLOW)
        assert.strictEqual(gauge("floodgate_sse_streams_open"), STREAMS)

        // Everybody else is there, and hears.
        inventory.stock = 4n
        yield* until("everybody has heard", () => said.heard === STREAMS, "60 seconds")
        assert.strictEqual(said.lost, 0)
        // What is kept for those who come back is bounded, too.
        assert.isBelow(resident() - before, STREAMS * BYTES_A_STREAM + 96 * 1024 * 1024)

        child.stdin.end()
        yield* until("all are forgotten", () => gauge("floodgate_sse_streams_open") === 0, "60 seconds")
      }),
    400_000,
  )
})
