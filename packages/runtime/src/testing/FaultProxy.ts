/**
 * A TCP proxy that makes a network slow or broken: latency, jitter, a slow drip, a black hole, resets, an end after so
 * many bytes, an answer that never arrives. One proxy stands in front of one address; what it does can be changed at
 * any time and holds for open connections, too. For tests only.
 */
import * as net from "node:net"

/** `up`: from the client to the server. */
export type Direction = "up" | "down"

/** What happens to what passes. */
export interface Condition {
  /** Each piece arrives this much later, in both directions each. Milliseconds. */
  readonly latencyMs: number
  /** Up to this much more, evenly distributed; pieces keep their order. */
  readonly jitterMs: number
  /** Bytes a second and direction; 0 is as fast as it goes. */
  readonly bytesPerSecond: number
  /** Bytes in these directions vanish. The connection looks alive; it is cut when the condition ends. */
  readonly hole: ReadonlyArray<Direction>
  /** Nothing passes, nothing is lost: it waits, and passes when the condition ends. */
  readonly frozen: boolean
  /** New connections are reset at once. */
  readonly refuse: boolean
}

const clear: Condition = {
  latencyMs: 0,
  jitterMs: 0,
  bytesPerSecond: 0,
  hole: [],
  frozen: false,
  refuse: false,
}

/** A client that writes into a slow proxy is held back once this much waits in one direction. */
const MAX_WAITING_BYTES = 1024 * 1024

/** A drip comes in pieces of this many a second. */
const DRIPS_PER_SECOND = 20

/** How long an answer that is to be lost may take to come, beyond its first byte, before the connection is reset. */
const LOST_ANSWER_MS = 50

/** One direction of one connection. */
class Pipe {
  readonly #from: net.Socket
  readonly #to: net.Socket
  readonly #direction: Direction
  readonly #proxy: FaultProxy
  readonly #seen: (chunk: Buffer, direction: Direction) => boolean
  #waiting: Array<{ chunk: Buffer; dueMs: number }> = []
  #waitingBytes = 0
  #lastDueMs = 0
  #timer: NodeJS.Timeout | undefined
  #ended = false
  swallowed = false

  constructor(
    from: net.Socket,
    to: net.Socket,
    direction: Direction,
    proxy: FaultProxy,
    seen: (chunk: Buffer, direction: Direction) => boolean,
  ) {
    this.#from = from
    this.#to = to
    this.#direction = direction
    this.#proxy = proxy
    this.#seen = seen
    from.on("data", (chunk: Buffer) => this.#take(chunk))
    from.on("end", () => {
      this.#ended = true
      this.pump()
    })
    to.on("drain", () => this.pump())
  }

  #take(chunk: Buffer): void {
    const { condition } = this.#proxy
    if (condition.hole.includes(this.#direction)) {
      this.swallowed = true
      return
    }
    if (!this.#seen(chunk, this.#direction)) return
    const dueMs = Math.max(
      this.#lastDueMs,
      performance.now() + condition.latencyMs + Math.random() * condition.jitterMs,
    )
    this.#lastDueMs = dueMs
    this.#waiting.push({ chunk, dueMs })
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#from.pause()
    this.pump()
  }

  /** Passes on what is due. */
  pump(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { condition } = this.#proxy
    if (condition.frozen || this.#to.destroyed) return
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!
      const early = next.dueMs - performance.now()
      if (early > 0.5) {
        this.#later(early)
        return
      }
      if (this.#to.writableNeedDrain) return
      if (condition.bytesPerSecond > 0) {
        const drip = Math.max(1, Math.round(condition.bytesPerSecond / DRIPS_PER_SECOND))
        this.#pass(next.chunk.subarray(0, drip))
        if (drip < next.chunk.length) next.chunk = next.chunk.subarray(drip)
        else this.#waiting.shift()
        this.#later(1000 / DRIPS_PER_SECOND)
        return
      }
      this.#waiting.shift()
      this.#pass(next.chunk)
    }
    if (this.#ended) this.#to.end()
  }

  #pass(chunk: Buffer): void {
    this.#waitingBytes -= chunk.length
    if (this.#waitingBytes <= MAX_WAITING_BYTES) this.#from.resume()
    this.#to.write(chunk)
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.pump(), ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#waiting = []
  }
}

/** One client and its connection to the server. */
class Link {
  readonly near: net.Socket
  readonly far: net.Socket
  readonly pipes: ReadonlyArray<Pipe>
  /** Bytes that may still pass in this direction before the connection is reset. */
  cutAfter: { readonly direction: Direction; left: number } | undefined
  /** The answer to what was sent is to be lost. */
  #doomed = false
  #dying: NodeJS.Timeout | undefined

  constructor(
    near: net.Socket,
    target: net.NetConnectOpts,
    proxy: FaultProxy,
    onClose: (link: Link) => void,
  ) {
    this.near = near
    this.far = net.connect(target)
    near.setNoDelay(true)
    this.far.setNoDelay(true)
    const seen = (chunk: Buffer, direction: Direction): boolean => {
      if (direction === "up" && proxy.takesAnswerOf(chunk)) this.#doomed = true
      if (direction === "down" && this.#doomed) {
        this.#dying ??= setTimeout(() => this.reset(), LOST_ANSWER_MS)
        return false
      }
      if (this.cutAfter?.direction === direction) {
        this.cutAfter.left -= chunk.length
        if (this.cutAfter.left < 0) {
          this.reset()
          return false
        }
      }
      return true
    }
    this.pipes = [new Pipe(near, this.far, "up", proxy, seen), new Pipe(this.far, near, "down", proxy, seen)]
    for (const [socket, other] of [
      [near, this.far],
      [this.far, near],
    ] as const) {
      // What ended with an error is told by the close that follows.
      socket.on("error", () => {})
      socket.on("close", (hadError) => {
        if (hadError) other.resetAndDestroy()
        else if (!proxy.condition.frozen) other.end()
        if (near.destroyed && this.far.destroyed) {
          clearTimeout(this.#dying)
          for (const pipe of this.pipes) pipe.stop()
          onClose(this)
        }
      })
    }
  }

  reset(): void {
    this.near.resetAndDestroy()
    this.far.resetAndDestroy()
  }
}

export class FaultProxy {
  readonly #server: net.Server
  readonly #links = new Set<Link>()
  #condition: Condition = clear
  #lostAnswers: { match: (request: Buffer) => boolean; left: number } | undefined
  #lost = 0

  private constructor(target: net.NetConnectOpts) {
    this.#server = net.createServer({ allowHalfOpen: true }, (near) => {
      if (this.#condition.refuse) {
        near.resetAndDestroy()
        return
      }
      this.#links.add(
        new Link(near, { ...target, allowHalfOpen: true }, this, (link) => this.#links.delete(link)),
      )
    })
  }

  /** Listens on loopback, on a port of the system's choice unless one is given. */
  static async open(target: { readonly host: string; readonly port: number }, port = 0): Promise<FaultProxy> {
    const proxy = new FaultProxy({ ...target })
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject)
      proxy.#server.listen(port, "127.0.0.1", resolve)
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  get condition(): Condition {
    return this.#condition
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#links.size
  }

  /** How many answers were lost on purpose so far. */
  get lostAnswers(): number {
    return this.#lost
  }

  /** Changes the named conditions, the others stay. */
  set(change: Partial<Condition>): void {
    const before = this.#condition
    this.#condition = { ...before, ...change }
    // A stream with a gap in it can't go on.
    if (before.hole.length > 0 && this.#condition.hole.length === 0) {
      for (const link of this.#links) if (link.pipes.some((pipe) => pipe.swallowed)) link.reset()
    }
    for (const link of this.#links) for (const pipe of link.pipes) pipe.pump()
  }

  /** Everything as if there were no proxy. */
  heal(): void {
    this.#lostAnswers = undefined
    for (const link of this.#links) link.cutAfter = undefined
    this.set(clear)
  }

  /** Resets every connection. */
  reset(): void {
    for (const link of this.#links) link.reset()
  }

  /** Resets each connection that is open now after so many more bytes in this direction. */
  cutAfter(bytes: number, direction: Direction): void {
    for (const link of this.#links) link.cutAfter = { direction, left: bytes }
  }

  /**
   * The next `times` requests that match reach the server; their answers, and whatever else comes on that connection,
   * don't reach the client, whose connection is reset. A request is what arrives in one piece.
   */
  loseAnswers(times: number, match: (request: Buffer) => boolean = () => true): void {
    this.#lostAnswers = { match, left: times }
  }

  /** Asked for each piece that goes up: whether its answer is to be lost. */
  takesAnswerOf(chunk: Buffer): boolean {
    const wanted = this.#lostAnswers
    if (wanted === undefined || wanted.left === 0 || !wanted.match(chunk)) return false
    wanted.left--
    this.#lost++
    return true
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.reset()
    await closed
  }
}
