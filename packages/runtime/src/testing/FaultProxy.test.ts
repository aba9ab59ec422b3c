import * as net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { FaultProxy } from "./FaultProxy.ts"

describe("FaultProxy", () => {
  let server: net.Server
  let proxy: FaultProxy
  let heard: string

  /** A server that answers every piece with itself. */
  beforeEach(async () => {
    heard = ""
    server = net.createServer((socket) => {
      socket.on("error", () => {})
      socket.on("data", (chunk) => {
        heard += chunk.toString()
        socket.write(chunk)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    proxy = await FaultProxy.open({ host: "127.0.0.1", port: (server.address() as net.AddressInfo).port })
  })

  afterEach(async () => {
    await proxy.close()
    await new Promise((resolve) => server.close(resolve))
  })

  const client = () => {
    const socket = net.connect(proxy.port, "127.0.0.1")
    const state = { text: "", ended: "" }
    socket.on("data", (chunk) => {
      state.text += chunk.toString()
    })
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      state.ended = cause.code ?? "?"
    })
    socket.on("close", () => {
      state.ended ||= "closed"
    })
    return { socket, state }
  }

  const until = async (holds: () => boolean) => {
    for (const end = Date.now() + 5_000; !holds(); ) {
      if (Date.now() > end) throw new Error("waited in vain")
      await sleep(2)
    }
  }

  it("passes everything on, and an end, while nothing is wrong", async () => {
    const { socket, state } = client()
    const long = "x".repeat(3_000_000)
    socket.write(long)
    await until(() => state.text.length === long.length)
    socket.end()
    await until(() => state.ended !== "")
    expect(state).toEqual({ text: long, ended: "closed" })
    await until(() => proxy.connections === 0)
  })

  it("latency delays each way, and keeps the order", async () => {
    proxy.set({ latencyMs: 60, jitterMs: 20 })
    const { socket, state } = client()
    const began = performance.now()
    for (const word of ["a", "b", "c"]) {
      socket.write(word)
      await sleep(5)
    }
    await until(() => state.text === "abc")
    expect(performance.now() - began).toBeGreaterThan(118)
  })

  it("a drip is slow, and loses nothing", async () => {
    proxy.set({ bytesPerSecond: 400 })
    const { socket, state } = client()
    const began = performance.now()
    socket.write("y".repeat(100))
    await until(() => state.text.length === 100)
    expect(performance.now() - began).toBeGreaterThan(200)
  })

  it("frozen, everything waits; a hole swallows, and its connection is cut when it closes", async () => {
    const { socket, state } = client()
    proxy.set({ frozen: true })
    socket.write("kept")
    await sleep(50)
    expect(state.text).toBe("")
    proxy.set({ frozen: false })
    await until(() => state.text === "kept")
    proxy.set({ hole: ["down"] })
    socket.write("gone")
    await until(() => heard === "keptgone")
    await sleep(20)
    expect(state).toEqual({ text: "kept", ended: "" })
    proxy.heal()
    await until(() => state.ended === "ECONNRESET")
  })

  it("loses the answer only: the server heard it, the client gets a reset", async () => {
    const other = client()
    other.socket.write("z")
    await until(() => other.state.text === "z")
    proxy.loseAnswers(1, (request) => request.toString().startsWith("pay"))
    const { socket, state } = client()
    socket.write("look")
    await until(() => state.text === "look")
    socket.write("pay")
    await until(() => state.ended === "ECONNRESET")
    expect(heard).toBe("zlookpay")
    expect(state.text).toBe("look")
    expect(proxy.lostAnswers).toBe(1)
    other.socket.write("pay")
    await until(() => other.state.text === "zpay")
  })

  it("cuts after so many bytes, and refuses", async () => {
    const { socket, state } = client()
    socket.write("1234")
    await until(() => state.text === "1234")
    proxy.cutAfter(2, "up")
    socket.write("56")
    await until(() => state.text === "123456")
    socket.write("7")
    await until(() => state.ended === "ECONNRESET")
    expect(heard).toBe("123456")
    proxy.set({ refuse: true })
    const refused = client()
    await until(() => refused.state.ended !== "")
    expect(refused.state.ended).toBe("ECONNRESET")
  })
})
