/**
 * Reconnects a connection that has stopped answering without closing: a peer that vanished, or a server that is
 * frozen. ioredis' own `socketTimeout` (5.9) keeps its timer over a reconnect and then closes the new connection.
 */
import type { Cluster, Redis as IORedis } from "ioredis"

export class StallWatch {
  /** Operations that wait for an answer. */
  inFlight = 0
  #lastProgressAt = performance.now()
  readonly #timer: NodeJS.Timeout

  constructor(connection: IORedis | Cluster, stallMs: number) {
    this.#timer = setInterval(() => {
      const waiting = this.inFlight > 0 || connection.status === "connect"
      if (!waiting) this.#lastProgressAt = performance.now()
      else if (performance.now() - this.#lastProgressAt > stallMs) {
        this.#lastProgressAt = performance.now()
        connection.disconnect(true)
      }
    }, stallMs / 5)
    this.#timer.unref()
  }

  started(): void {
    if (this.inFlight === 0) this.#lastProgressAt = performance.now()
    this.inFlight += 1
  }

  /** `answered`: by the server, with a value or an error. */
  ended(answered: boolean): void {
    this.inFlight -= 1
    if (answered) this.#lastProgressAt = performance.now()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
