/**
 * The open event streams of this edge: who listens to what, and how much they may be behind. A stream that can't take
 * what it is told is dropped, so that one slow reader costs a bounded buffer and nobody else anything; it comes back and
 * goes on where it was.
 */
import { createHash, randomBytes } from "node:crypto"
import { statusOf } from "@floodgate/contracts/http/Order"
import { type Change, ReplayBuffer, type Told } from "./ReplayBuffer.ts"

/** Streams of one edge, of one user, of one address. */
export const MAX_STREAMS = 20_000
export const MAX_STREAMS_PER_USER = 10
export const MAX_STREAMS_PER_ADDRESS = 200

/** What may wait for a slow reader (bytes), beside what its socket takes. */
export const MAX_BEHIND_BYTES = 64 * 1024

/** Changes kept for those who come back: minutes of a busy sale, some 30 MB. */
export const REPLAY_CHANGES = 100_000

/** How soon a client comes back (ms), as a stream's first line says; clients add their own jitter. */
export const RETRY_MS = 1_000

/** The wire of one stream. */
export interface Wire {
  /** Hands over some bytes; answers how many wait to be taken. */
  readonly write: (text: string) => number
  readonly end: () => void
  /** Without a word: for a reader that takes nothing. */
  readonly destroy: () => void
}

/** Whose stream it is. */
export interface Listener {
  readonly userId: number
  /** Its token's times, Unix ms. */
  readonly issuedMs: number
  readonly expiresMs: number
  /** The device that its tickets of a waiting room are bound to, where it came with one that we know. */
  readonly device?: string | undefined
}

export interface Stream {
  readonly id: string
  readonly listener: Listener | undefined
  readonly address: string
  topics: ReadonlySet<string>
}

interface Open extends Stream {
  readonly wire: Wire
  /** What it was last told of each product's stock, as {@link StockChange.etag}; empty until it was told any. */
  readonly stocks: Map<number, string>
}

export interface Stock {
  readonly product_id: number
  readonly stock: number
  readonly status: string
  readonly version: number
}

/** A product's stock as it was read. */
export interface StockChange {
  readonly stock: Stock
  /** Differs where the product does. */
  readonly etag: string
}

/** One event in the wire's form. */
export const frame = (event: string, data: unknown, id?: string): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

/** `isLast` of what an entry has for this stream: who has heard half of an entry must hear it again. */
const orderFrame = ({ change, id }: Told, isLast: boolean): string =>
  frame(
    "order.updated",
    {
      order_num: change.orderNum,
      state: change.state,
      status: statusOf[change.state as keyof typeof statusOf] ?? null,
      version: change.version,
      updated_at: change.updatedAt,
    },
    isLast ? id : undefined,
  )

/** Part of a stream's id: so that any edge can tell whose it is, and none need ask another. */
const ownerTag = (random: string, userId: number | undefined): string =>
  createHash("sha256")
    .update(`${random}:${userId ?? "anyone"}`)
    .digest("base64url")
    .slice(0, 11)

/** Whether a stream of this id was opened by this user (undefined: by nobody in particular). */
export const isOwner = (streamId: string, userId: number | undefined): boolean => {
  const [, random = "", tag, ...rest] = streamId.split(".")
  return rest.length === 0 && tag === ownerTag(random, userId)
}

/** Which edge opened it. */
export const edgeOf = (streamId: string): string => streamId.split(".", 1)[0] ?? ""

export class Hub {
  readonly edgeId = randomBytes(6).toString("base64url").replaceAll(".", "_")
  private readonly streams = new Map<string, Open>()
  private readonly byUser = new Map<number, Set<Open>>()
  private readonly byAddress = new Map<string, number>()
  private readonly byTopic = new Map<string, Set<Open>>()
  private replay: ReplayBuffer | undefined
  /** Products that somebody has begun to listen to since {@link stock} was last called of them. */
  private readonly newlyHeard = new Set<number>()
  /** Streams dropped because their readers were too slow, since the start. */
  dropped = 0

  /** Nothing can be resumed before the journal was read. */
  begin(start: string): void {
    this.replay = new ReplayBuffer(REPLAY_CHANGES, start)
  }

  get size(): number {
    return this.streams.size
  }

  /** Products that somebody listens to. */
  products(prefix: "stock" | "queue"): ReadonlyArray<number> {
    const found: Array<number> = []
    for (const topic of this.byTopic.keys()) {
      if (topic.startsWith(prefix)) found.push(Number(topic.slice(prefix.length + 1)))
    }
    return found
  }

  /** Whether one more stream of this listener fits; else whose bound it would break. */
  room(listener: Listener | undefined, address: string): "ok" | "edge" | "user" | "address" {
    if (this.streams.size >= MAX_STREAMS) return "edge"
    if (listener !== undefined && (this.byUser.get(listener.userId)?.size ?? 0) >= MAX_STREAMS_PER_USER) {
      return "user"
    }
    return (this.byAddress.get(address) ?? 0) >= MAX_STREAMS_PER_ADDRESS ? "address" : "ok"
  }

  /**
   * Opens a stream: greets it, then tells what it has missed since `lastEventId`, or that this can't be told any more.
   * Check {@link room} first.
   */
  open(
    wire: Wire,
    listener: Listener | undefined,
    address: string,
    topics: ReadonlyArray<string>,
    lastEventId: string | undefined,
    serverTimeMs: number,
  ): Stream {
    const random = randomBytes(12).toString("base64url")
    const stream: Open = {
      id: `${this.edgeId}.${random}.${ownerTag(random, listener?.userId)}`,
      listener,
      address,
      topics: new Set(),
      wire,
      stocks: new Map(),
    }
    this.streams.set(stream.id, stream)
    this.byAddress.set(address, (this.byAddress.get(address) ?? 0) + 1)
    if (listener !== undefined) add(this.byUser, listener.userId, stream)
    this.listen(stream, new Set(topics))

    const ready = { stream_id: stream.id, topics: [...stream.topics], server_time: serverTimeMs }
    const missed =
      listener === undefined || lastEventId === undefined ? [] : this.missed(listener, lastEventId)
    // From where to go on, also for one that hears nothing before it is cut off.
    const from = missed === undefined || lastEventId === undefined ? this.replay?.newestId : lastEventId
    this.tell(stream, `retry: ${RETRY_MS}\n\n${frame("ready", ready, from)}`)
    if (missed === undefined) this.tell(stream, frame("reset", {}))
    else if (stream.topics.has("orders")) this.replayTo(stream, missed)
    return stream
  }

  /**
   * Tells what was missed, as far as the wire takes it: a client that was away for long gets it in instalments. Each
   * ends where an entry does, in an orderly way, so that all of it arrives and the next begins behind it.
   */
  private replayTo(stream: Open, missed: ReadonlyArray<Told>): void {
    for (const [i, told] of missed.entries()) {
      const isLast = missed[i + 1]?.id !== told.id
      const behind = stream.wire.write(orderFrame(told, isLast))
      if (isLast && behind > MAX_BEHIND_BYTES / 2 && i + 1 < missed.length) {
        this.end(stream)
        return
      }
    }
  }

  /** Replaces a stream's topics; false where this edge has no such stream. */
  subscribe(streamId: string, topics: ReadonlyArray<string>): boolean {
    const stream = this.streams.get(streamId)
    if (stream === undefined) return false
    this.listen(stream, new Set(topics))
    return true
  }

  private listen(stream: Open, next: ReadonlySet<string>): void {
    for (const topic of stream.topics) if (!next.has(topic)) this.leave(stream, topic)
    for (const topic of next) {
      if (stream.topics.has(topic)) continue
      add(this.byTopic, topic, stream)
      const productId = stockOf(topic)
      if (productId !== undefined) this.newlyHeard.add(productId)
    }
    stream.topics = next
  }

  private leave(stream: Open, topic: string): void {
    remove(this.byTopic, topic, stream)
    const productId = stockOf(topic)
    if (productId === undefined) return
    stream.stocks.delete(productId)
    if (!this.byTopic.has(topic)) this.newlyHeard.delete(productId)
  }

  /** A stream is over, whoever ended it. */
  close(stream: Stream): void {
    const open = this.streams.get(stream.id)
    if (open === undefined) return
    this.streams.delete(open.id)
    const left = (this.byAddress.get(open.address) ?? 1) - 1
    if (left === 0) this.byAddress.delete(open.address)
    else this.byAddress.set(open.address, left)
    if (open.listener !== undefined) remove(this.byUser, open.listener.userId, open)
    for (const topic of open.topics) this.leave(open, topic)
  }

  /** Takes an entry of the journal, and tells those whom it is about. */
  orders(id: string, changes: ReadonlyArray<Change>): void {
    this.replay?.append(id, changes)
    const lastOf = new Map(changes.map((change) => [change.userId, change]))
    for (const change of changes) {
      const streams = this.byUser.get(change.userId)
      if (streams === undefined) continue
      const text = orderFrame({ id, change }, lastOf.get(change.userId) === change)
      for (const stream of streams) if (stream.topics.has("orders")) this.tell(stream, text)
    }
  }

  /** Entries of the journal were lost: whoever listens to orders must fetch anew. */
  gap(id: string): void {
    this.replay?.gap(id)
    const text = frame("reset", {}, id)
    for (const stream of this.byTopic.get("orders") ?? []) this.tell(stream, text)
  }

  /** Whether somebody listens to a product's stock who may not have been told any. */
  isNewlyHeard(productId: number): boolean {
    return this.newlyHeard.has(productId)
  }

  /** Tells a product's stock to all who listen to it and were last told otherwise, or nothing yet. */
  stock(productId: number, change: StockChange): void {
    this.newlyHeard.delete(productId)
    const listeners = this.byTopic.get(`stock:${productId}`)
    if (listeners === undefined) return
    const text = frame("stock.updated", change.stock)
    for (const stream of listeners) this.tellStock(stream, productId, change.etag, text)
  }

  /** The same to one stream alone: when it begins to listen. */
  stockTo(stream: Stream, productId: number, change: StockChange): void {
    const open = this.streams.get(stream.id)
    if (open?.topics.has(`stock:${productId}`)) {
      this.tellStock(open, productId, change.etag, frame("stock.updated", change.stock))
    }
  }

  private tellStock(stream: Open, productId: number, etag: string, text: string): void {
    if (stream.stocks.get(productId) === etag) return
    stream.stocks.set(productId, etag)
    this.tell(stream, text)
  }

  /** Those who want to know of their place in a product's waiting room. */
  *queueing(productId: number): Iterable<Stream> {
    for (const stream of this.byTopic.get(`queue:${productId}`) ?? []) {
      if (stream.listener !== undefined) yield stream
    }
  }

  queue(stream: Stream, place: unknown): void {
    const open = this.streams.get(stream.id)
    if (open !== undefined) this.tell(open, frame("queue.updated", place))
  }

  heartbeat(serverTimeMs: number): void {
    const text = frame("heartbeat", { server_time: serverTimeMs })
    for (const stream of this.streams.values()) this.tell(stream, text)
  }

  /** Ends every stream whose listener may no longer hear it, as `verdict` says: 401 expired or revoked, 701 banned. */
  dismiss(verdict: (listener: Listener) => 401 | 701 | undefined): void {
    for (const streams of this.byUser.values()) {
      for (const stream of streams) {
        const code = verdict(stream.listener!)
        if (code === undefined) continue
        this.tell(stream, frame("bye", { code }))
        this.end(stream)
      }
    }
  }

  /** Ends all streams; their clients come back, to another edge. */
  endAll(): void {
    for (const stream of this.streams.values()) this.end(stream)
  }

  private missed(listener: Listener, lastEventId: string): ReadonlyArray<Told> | undefined {
    return this.replay?.since(listener.userId, lastEventId)
  }

  private end(stream: Open): void {
    this.close(stream)
    stream.wire.end()
  }

  private tell(stream: Open, text: string): void {
    // It may have been dropped by what it was told before.
    if (!this.streams.has(stream.id)) return
    if (stream.wire.write(text) <= MAX_BEHIND_BYTES) return
    this.dropped++
    this.close(stream)
    stream.wire.destroy()
  }
}

/** The product of a topic of stock. */
export const stockOf = (topic: string): number | undefined =>
  topic.startsWith("stock:") ? Number(topic.slice("stock:".length)) : undefined

const add = <K>(index: Map<K, Set<Open>>, key: K, stream: Open): void => {
  const streams = index.get(key)
  if (streams === undefined) index.set(key, new Set([stream]))
  else streams.add(stream)
}

const remove = <K>(index: Map<K, Set<Open>>, key: K, stream: Open): void => {
  const streams = index.get(key)
  streams?.delete(stream)
  if (streams?.size === 0) index.delete(key)
}
