/**
 * A TCP proxy that can stop passing bytes on, so that a test can freeze an engine that other tests are using. For
 * tests only.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface FreezableProxy {
  readonly port: number
  /** Nothing passes any more, in either direction; connections are still accepted, and stay open. */
  readonly freeze: Effect.Effect<void>
  /** What was held back passes, and everything after it. */
  readonly thaw: Effect.Effect<void>
  /** Breaks every connection. */
  readonly cut: Effect.Effect<void>
}

export const make = (target: {
  readonly host: string
  readonly port: number
}): Effect.Effect<FreezableProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    let frozen = false
    const track = (socket: net.Socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      if (frozen) socket.pause()
    }
    const server = net.createServer((near) => {
      const far = net.connect(target)
      track(near)
      track(far)
      near.on("data", (data) => far.write(data))
      far.on("data", (data) => near.write(data))
      near.on("close", () => far.destroy())
      far.on("close", () => near.destroy())
      if (frozen) {
        near.pause()
        far.pause()
      }
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }),
    )
    return {
      port: (server.address() as net.AddressInfo).port,
      freeze: Effect.sync(() => {
        frozen = true
        for (const socket of sockets) socket.pause()
      }),
      thaw: Effect.sync(() => {
        frozen = false
        for (const socket of sockets) socket.resume()
      }),
      cut: Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
      }),
    }
  })
