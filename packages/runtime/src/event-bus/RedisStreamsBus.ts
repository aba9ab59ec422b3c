/**
 * The event bus on Redis Streams, for an installation without Kafka: a redis-server of its own (`appendfsync always`,
 * `noeviction`), never the shards'.
 *
 * A topic is a fixed number of streams. Of each, a group keeps one cursor, and a lease that lets one consumer at a time
 * read past it. That is used in place of Redis' consumer groups: their pending lists hand entries to whoever asks next,
 * so a partition's order is lost when a consumer dies, and XACK doesn't ask whether the consumer still owns the entry.
 * A cursor that only the lease's holder can move gives both, and a server that comes back empty is simply read from its
 * beginning.
 *
 * Consumers learn of new messages by PUBLISH (and look by themselves every second, since that can be missed).
 */
import { randomUUID } from "node:crypto"
import * as Topic from "@floodgate/contracts/events/Topic"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { type BusFailed, BusUnavailable, reasonOf } from "./BusError.ts"
import * as BusMetrics from "./BusMetrics.ts"
import {
  type ConsumeOptions,
  DEFAULT_MAX_BATCH,
  type EventBusService,
  type IncomingMessage,
  type OutgoingMessage,
  slices,
} from "./Message.ts"
import * as Scripts from "./RedisStreamsScripts.ts"
import { placeOf } from "./StableHash.ts"

export interface RedisStreamsOptions {
  /** `redis://…` of the bus' own server. */
  readonly url: Redacted.Redacted<string>
  readonly retention?: Retention
}

/** What stays of the messages that every known group has finished; unfinished ones always stay. */
export interface Retention {
  /** Messages a partition. */
  readonly keep: number
  readonly ageMs: number
}

const CONNECT_TIMEOUT_MS = 1_000
const COMMAND_TIMEOUT_MS = 5_000
/** A publish of any size answers within this. */
const PUBLISH_DEADLINE_MS = 10_000
/** A call that finds no connection waits this long for one. */
const READY_WAIT_MS = 2_000
const RECONNECT_MAX_MS = 500
const MAX_WAITING = 2_000
const MAX_PUBLISHING = 32

const LEASE_MS = 6_000
const LEASE_TURN_MS = 1_500
/** A consumer stops trusting its leases this long before the server lets them go. */
const LEASE_MARGIN_MS = 1_000
const IDLE_POLL_MS = 1_000
const TRIM_EVERY_MS = 30_000
const FINISH_MS = 5_000
const LEAVE_MS = 2_000
const BACKOFF_MIN_MS = 100
const BACKOFF_MAX_MS = 2_000
const DEFAULT_RETENTION: Retention = { keep: 20_000, ageMs: 24 * 3_600_000 }
/** A group that no consumer has shown up for in this time holds back nothing any more. */
const FORGET_GROUP_MS = 7 * 24 * 3_600_000

const BEGINNING = "0-0"

const Key = {
  topics: "bus:topics",
  incarnation: "bus:incarnation",
  stream: (topic: string, partition: number) => `bus:stream:${topic}:${partition}`,
  counter: (topic: string, partition: number) => `bus:counter:${topic}:${partition}`,
  groups: (topic: string) => `bus:groups:${topic}`,
  members: (topic: string, group: string) => `bus:members:${topic}:${group}`,
  leases: (topic: string, group: string) => `bus:leases:${topic}:${group}`,
  cursorsOf: (topic: string) => `bus:cursors:${topic}:`,
  cursors: (topic: string, group: string) => `${Key.cursorsOf(topic)}${group}`,
  channel: (topic: string) => `bus:new:${topic}`,
}

type Argument = string | number | Buffer
type ScriptName = "busPublish" | "busLease" | "busCommit" | "busLeave" | "busTrim"
type Scripted = Record<ScriptName, (...args: ReadonlyArray<Argument>) => Promise<unknown>>

const backoffMs = (failures: number): number => {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 10))
  return ceiling / 2 + Math.random() * (ceiling / 2)
}

/** The server's clock. */
const nowMs = async (client: Redis): Promise<number> => {
  const [seconds, micros] = await client.time()
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
}

/** The number that an id carries behind its time. */
const numberOf = (id: string): number => Number(id.slice(id.indexOf("-") + 1))

const incoming = (
  topic: string,
  partition: number,
  [id, fields]: readonly [Buffer, ReadonlyArray<Buffer>],
): IncomingMessage => {
  const offset = id.toString("latin1")
  const headers = fields[5]
  return {
    topic,
    partition,
    offset,
    key: fields[1]?.toString("utf8") ?? "",
    value: fields[3] ?? new Uint8Array(0),
    headers: headers === undefined || headers.length === 0 ? {} : JSON.parse(headers.toString("utf8")),
    timestampMs: Number(offset.slice(0, offset.indexOf("-"))),
  }
}

/** One connection, and calls on it that are bounded in time and fail as `BusUnavailable`. */
interface Connection {
  readonly client: Redis
  readonly scripts: Scripted
  readonly call: <A>(
    operation: string,
    use: (client: Redis) => Promise<A>,
  ) => Effect.Effect<A, BusUnavailable>
}

const connect = (url: Redacted.Redacted<string>): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const client = new Redis(Redacted.value(url), {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: COMMAND_TIMEOUT_MS,
      retryStrategy: (times) => Math.min(50 * times, RECONNECT_MAX_MS),
    })
    client.defineCommand("busPublish", { numberOfKeys: 2, lua: Scripts.PUBLISH })
    client.defineCommand("busLease", { numberOfKeys: 3, lua: Scripts.LEASE })
    client.defineCommand("busCommit", { numberOfKeys: 2, lua: Scripts.COMMIT })
    client.defineCommand("busLeave", { numberOfKeys: 2, lua: Scripts.LEAVE })
    client.defineCommand("busTrim", { numberOfKeys: 3, lua: Scripts.TRIM })
    let down = false
    client.on("error", (error) => {
      if (!down) Runtime.runFork(runtime)(Effect.logWarning(`the Redis bus is away: ${reasonOf(error)}`))
      down = true
    })
    client.on("ready", () => {
      if (down) Runtime.runFork(runtime)(Effect.logInfo("the Redis bus is back"))
      down = false
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => client.disconnect()))
    // Its failure is told by "error", and the reconnects go on.
    client.connect().catch(() => undefined)

    const ready = Effect.async<void>((resume) => {
      if (client.status === "ready") return resume(Effect.void)
      const listener = () => resume(Effect.void)
      client.once("ready", listener)
      return Effect.sync(() => client.off("ready", listener))
    })

    return {
      client,
      scripts: client as unknown as Scripted,
      call: (operation, use) =>
        ready.pipe(
          Effect.interruptible,
          Effect.timeoutFail({
            duration: READY_WAIT_MS,
            onTimeout: () => new BusUnavailable({ operation, reason: "no connection to the Redis bus" }),
          }),
          Effect.zipRight(
            Effect.tryPromise({
              try: () => use(client),
              catch: (cause) => new BusUnavailable({ operation, reason: reasonOf(cause) }),
            }),
          ),
        ),
    } satisfies Connection
  })

/** The bus on the given server. Succeeds without it; connects as soon as it is there. */
export const make = (options: RedisStreamsOptions): Effect.Effect<EventBusService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connection = yield* connect(options.url)
    const { call, scripts } = connection
    const counts = new Map<string, number>()
    const publishing = yield* Effect.makeSemaphore(MAX_PUBLISHING)
    let waiting = 0

    yield* checkSettings(connection).pipe(Effect.forkScoped)

    /** Partitions of a topic: as stored, else as in the contracts (stored then, so that all processes agree). */
    const countOf = (topic: string) =>
      Effect.suspend(() => {
        const known = counts.get(topic)
        if (known !== undefined) return Effect.succeed(known)
        const contracted = (Topic.partitions as Readonly<Record<string, number>>)[topic]
        return call(`topic ${topic}`, async (client) => {
          if (contracted !== undefined) await client.hsetnx(Key.topics, topic, contracted)
          return client.hget(Key.topics, topic)
        }).pipe(
          Effect.flatMap((stored) => {
            if (stored === null) {
              return new BusUnavailable({ operation: `topic ${topic}`, reason: "there is no such topic" })
            }
            counts.set(topic, Number(stored))
            return Effect.succeed(Number(stored))
          }),
        )
      })

    const send = (topic: string, count: number, messages: ReadonlyArray<OutgoingMessage>) => {
      const byPartition = new Map<number, Array<Argument>>()
      for (const message of messages) {
        const partition = message.partition ?? placeOf(message.key, count)
        if (partition >= count) {
          throw new RangeError(`topic ${topic} has ${count} partitions, there is no ${partition}`)
        }
        const args = byPartition.get(partition) ?? []
        byPartition.set(partition, args)
        args.push(
          message.key,
          typeof message.value === "string" ? message.value : Buffer.from(message.value),
          message.headers === undefined ? "" : JSON.stringify(message.headers),
        )
      }
      return call(`publish ${topic}`, () =>
        Promise.all(
          Array.from(byPartition, ([partition, args]) =>
            scripts.busPublish(
              Key.stream(topic, partition),
              Key.counter(topic, partition),
              Key.channel(topic),
              partition,
              ...args,
            ),
          ),
        ),
      )
    }

    const publish = Effect.fn("EventBus.publish")(function* (
      topic: string,
      messages: ReadonlyArray<OutgoingMessage>,
    ) {
      const operation = `publish ${topic}`
      if (messages.length === 0) return
      const parts = slices(messages)
      if (waiting >= MAX_WAITING) {
        return yield* new BusUnavailable({ operation, reason: `${MAX_WAITING} publishers wait already` })
      }
      waiting++
      yield* Effect.flatMap(countOf(topic), (count) =>
        Effect.forEach(parts, (part) => send(topic, count, part), { discard: true }),
      ).pipe(
        publishing.withPermits(1),
        // A caller that can't be interrupted still gets its answer in time.
        Effect.interruptible,
        Effect.timeoutFail({
          duration: PUBLISH_DEADLINE_MS,
          onTimeout: () =>
            new BusUnavailable({ operation, reason: `not confirmed within ${PUBLISH_DEADLINE_MS} ms` }),
        }),
        Effect.ensuring(Effect.sync(() => waiting--)),
      )
    })

    /** The number of the last message of each partition. */
    const ends = (topic: string, count: number) =>
      call(`ends of ${topic}`, (client) =>
        Promise.all(
          Array.from({ length: count }, async (_, partition) =>
            Number((await client.hget(Key.counter(topic, partition), "n")) ?? 0),
          ),
        ),
      )

    const positions = (group: string, topic: string) =>
      call(`positions of ${group} in ${topic}`, (client) => client.hgetall(Key.cursors(topic, group))).pipe(
        Effect.map((cursors) => (partition: number) => numberOf(cursors[String(partition)] ?? BEGINNING)),
      )

    const lag = Effect.fn("EventBus.lag")(function* (group: string, topic: string) {
      // Positions first: a message that comes in between then counts as not finished.
      const positionOf = yield* positions(group, topic)
      const last = yield* ends(topic, yield* countOf(topic))
      return last.reduce((sum, n, partition) => sum + Math.max(0, n - positionOf(partition)), 0)
    })

    const members = Effect.fn("EventBus.members")((group: string) =>
      call(`members of ${group}`, async (client) => {
        let most = 0
        const now = await nowMs(client)
        for (const topic of Object.keys(await client.hgetall(Key.topics))) {
          most = Math.max(most, await client.zcount(Key.members(topic, group), now, "+inf"))
        }
        return most
      }),
    )

    const incarnation = call("incarnation", async (client) => {
      await client.set(Key.incarnation, `${await nowMs(client)}-${randomUUID()}`, "NX")
      const id = await client.get(Key.incarnation)
      const runId = /^run_id:(\w+)/m.exec(await client.info("server"))?.[1]
      return `redis:${id}:${runId}`
    })

    /**
     * Whether consumers have had the time to show up on a server that came back empty. A life that doesn't say when it
     * began is an earlier version's, and old.
     */
    const settled = (life: string) =>
      Effect.map(call("age", nowMs), (now) => !(now - Number(/^redis:(\d+)-/.exec(life)?.[1]) < LEASE_MS))

    const checkpoint = Effect.gen(function* () {
      const life = yield* incarnation
      const topics = yield* call("topics", (client) => client.hgetall(Key.topics))
      const marks = yield* Effect.forEach(Object.entries(topics), ([topic, count]) =>
        Effect.map(ends(topic, Number(count)), (last) => ({ topic, last })),
      )
      return Effect.gen(function* () {
        if ((yield* incarnation) !== life || !(yield* settled(life))) return false
        for (const { topic, last } of marks) {
          const groups = yield* call("groups", (client) => client.zrange(Key.groups(topic), 0, -1))
          // Messages of a topic that nobody reads yet wait for a reader: it would miss them in another life.
          if (groups.length === 0 && topic !== Topic.Topic.ReservationsDlq && last.some((n) => n > 0))
            return false
          for (const group of groups) {
            const positionOf = yield* positions(group, topic)
            if (last.some((n, partition) => positionOf(partition) < n)) return false
          }
        }
        return true
      })
    }).pipe(Effect.withSpan("EventBus.checkpoint"))

    const ensureTopics = Effect.fn("EventBus.ensureTopics")((partitions: Readonly<Record<string, number>>) =>
      call("create topics", async (client) => {
        for (const [topic, count] of Object.entries(partitions)) {
          await client.hsetnx(Key.topics, topic, count)
        }
      }),
    )

    return {
      publish,
      consume: (consumption) =>
        Effect.scoped(consume(options, countOf, consumption)).pipe(
          Effect.annotateLogs({ group: consumption.group }),
        ),
      lag,
      members,
      ensureTopics,
      incarnation,
      checkpoint,
    }
  })

/** A server that may forget or evict breaks the bus' promise; it is used all the same, but not silently. */
const checkSettings = ({ call }: Connection) =>
  call("settings", async (client) => {
    const fsync = (await client.config("GET", "appendfsync")) as ReadonlyArray<string>
    const appendOnly = (await client.config("GET", "appendonly")) as ReadonlyArray<string>
    const eviction = (await client.config("GET", "maxmemory-policy")) as ReadonlyArray<string>
    return { appendOnly: appendOnly[1], fsync: fsync[1], eviction: eviction[1] }
  }).pipe(
    Effect.retry({ schedule: Schedule.spaced("5 seconds"), times: 100 }),
    Effect.flatMap(({ appendOnly, eviction, fsync }) =>
      appendOnly === "yes" && fsync === "always" && eviction === "noeviction"
        ? Effect.void
        : Effect.logWarning(
            `the Redis bus isn't durable: appendonly ${appendOnly} (want yes), appendfsync ${fsync} (want always), maxmemory-policy ${eviction} (want noeviction)`,
          ),
    ),
    Effect.ignore,
  )

/** A partition that this consumer holds. */
interface Held {
  readonly topic: string
  readonly partition: number
  readonly news: Effect.Latch
  /** Set when the cursor may be elsewhere than this consumer left it. */
  reread: boolean
  /** Set when its loop must end after the batch in hand. */
  ending: boolean
  fiber: Fiber.RuntimeFiber<void> | undefined
}

const consume = (
  options: RedisStreamsOptions,
  countOf: (topic: string) => Effect.Effect<number, BusUnavailable>,
  { group, handle, maxBatch = DEFAULT_MAX_BATCH, topics }: ConsumeOptions,
): Effect.Effect<never, BusFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const me = randomUUID()
    const retention = options.retention ?? DEFAULT_RETENTION
    const { call, client, scripts } = yield* connect(options.url)
    const listener = yield* connect(options.url)
    const held = new Map<string, Held>()
    const turnNow = yield* Effect.makeLatch(false)
    let stopping = false
    let trustedUntilMs = 0
    const placeOfHeld = (topic: string, partition: number | string) => `${topic}/${partition}`

    // A server that was away may have lost its last writes, or everything.
    client.on("close", () => {
      for (const mine of held.values()) mine.reread = true
    })
    listener.client.on("ready", () => {
      listener.client.subscribe(...topics.map(Key.channel)).catch(() => undefined)
    })
    const topicOf = new Map(topics.map((topic) => [Key.channel(topic), topic]))
    listener.client.on("message", (channel: string, partition: string) => {
      held.get(placeOfHeld(topicOf.get(channel) ?? "", partition))?.news.unsafeOpen()
    })

    const cursorOf = ({ partition, topic }: Held) =>
      call(`position of ${group} in ${topic}`, (redis) =>
        redis.hget(Key.cursors(topic, group), String(partition)),
      ).pipe(Effect.map((cursor) => cursor ?? BEGINNING))

    const read = ({ partition, topic }: Held, cursor: string) =>
      call(`read ${topic}`, (redis) =>
        redis.xrangeBuffer(Key.stream(topic, partition), `(${cursor}`, "+", "COUNT", maxBatch),
      ).pipe(Effect.map((entries) => entries.map((entry) => incoming(topic, partition, entry))))

    /** Hands the batch over until it succeeds. False when the partition was lost meanwhile. */
    const handOver = (mine: Held, batch: ReadonlyArray<IncomingMessage>) =>
      Effect.gen(function* () {
        for (let times = 1; ; times++) {
          const exit = yield* Effect.exit(Effect.suspend(() => handle(batch)))
          if (Exit.isSuccess(exit)) return true
          if (mine.ending || stopping) return false
          const delay = backoffMs(times)
          const words = `a batch failed ${times} time${times === 1 ? "" : "s"} and comes again in ${Math.round(delay)} ms`
          yield* times === 1 || times % 10 === 0
            ? Effect.logError(words, exit.cause as Cause.Cause<unknown>)
            : Effect.logDebug(words)
          yield* Effect.sleep(delay)
          if (mine.ending || stopping) return false
        }
      }).pipe(
        Effect.annotateLogs({
          topic: mine.topic,
          partition: mine.partition,
          first_offset: batch[0]?.offset,
          last_offset: batch[batch.length - 1]?.offset,
        }),
      )

    /** Moves the group's cursor. False when the partition was lost meanwhile. */
    const commit = (mine: Held, from: string, to: string) =>
      Effect.gen(function* () {
        for (let times = 1; ; times++) {
          const stored = yield* Effect.either(
            call(`commit ${mine.topic}`, () =>
              scripts.busCommit(
                Key.leases(mine.topic, group),
                Key.cursors(mine.topic, group),
                mine.partition,
                me,
                from,
                to,
              ),
            ),
          )
          if (stored._tag === "Right") {
            if (stored.right === 0) mine.reread = true
            return stored.right !== -1
          }
          if (mine.ending || stopping) return false
          yield* Effect.sleep(backoffMs(times))
        }
      })

    const work = (mine: Held): Effect.Effect<void> =>
      Effect.gen(function* () {
        let cursor = BEGINNING
        let failures = 0
        while (!mine.ending && !stopping) {
          if (performance.now() > trustedUntilMs) {
            yield* Effect.sleep(BACKOFF_MIN_MS)
            continue
          }
          mine.news.unsafeClose()
          if (mine.reread) {
            mine.reread = false
            const stored = yield* Effect.either(cursorOf(mine))
            if (stored._tag === "Left") {
              mine.reread = true
              yield* Effect.sleep(backoffMs(++failures))
              continue
            }
            cursor = stored.right
          }
          const found = yield* Effect.either(read(mine, cursor))
          if (found._tag === "Left") {
            yield* Effect.sleep(backoffMs(++failures))
            continue
          }
          failures = 0
          const batch = found.right
          if (batch.length === 0) {
            yield* mine.news.await.pipe(Effect.timeoutOption(IDLE_POLL_MS))
            continue
          }
          if (!(yield* handOver(mine, batch))) return
          const offset = batch[batch.length - 1]!.offset
          if (!(yield* commit(mine, cursor, offset))) return
          cursor = offset
        }
      })

    const begin = (topic: string, partition: number) =>
      Effect.gen(function* () {
        const news = yield* Effect.makeLatch(false)
        const mine: Held = { topic, partition, news, reread: true, ending: false, fiber: undefined }
        held.set(placeOfHeld(topic, partition), mine)
        // Not a child: an interrupted consumer lets the batch in hand finish.
        mine.fiber = yield* Effect.forkDaemon(work(mine))
      })

    /** A loop that ended, by itself or as it was told to, holds its partition no more. */
    const isOver = (mine: Held): boolean => mine.fiber?.unsafePoll() != null

    /** Ends the loops of partitions that somebody else has now. */
    const lose = (mine: Held) =>
      Effect.suspend(() => {
        mine.ending = true
        held.delete(placeOfHeld(mine.topic, mine.partition))
        return mine.fiber === undefined ? Effect.void : Fiber.interruptFork(mine.fiber)
      })

    /** One turn of the lease for one topic. Returns until when the leases can be trusted. */
    const turn = (topic: string, count: number) =>
      Effect.gen(function* () {
        const ours = [...held.values()].filter((mine) => mine.topic === topic)
        const back = ours.filter(isOver)
        const keep = ours.filter((mine) => !back.includes(mine))
        const sentMs = performance.now()
        const reply = (yield* call(`lease ${topic}`, () =>
          scripts.busLease(
            Key.members(topic, group),
            Key.leases(topic, group),
            Key.groups(topic),
            me,
            LEASE_MS,
            count,
            group,
            back.length,
            ...back.map((mine) => mine.partition),
            ...keep.map((mine) => mine.partition),
          ),
        )) as ReadonlyArray<number>
        for (const mine of back) held.delete(placeOfHeld(mine.topic, mine.partition))
        const now = new Set<number>()
        const before = new Set(keep.map((mine) => mine.partition))
        for (let index = 1; index < reply.length; index += 2) {
          const partition = reply[index]!
          now.add(partition)
          const known = held.get(placeOfHeld(topic, partition))
          if (known === undefined) yield* begin(topic, partition)
          else if (reply[index + 1] === 1) known.reread = true
        }
        if (now.size !== before.size || [...now].some((partition) => !before.has(partition))) {
          BusMetrics.rebalanced(group)
        }
        yield* Effect.forEach(
          keep.filter((mine) => !now.has(mine.partition)),
          lose,
          { discard: true },
        )
        const share = Math.ceil(count / reply[0]!)
        const surplus = [...held.values()]
          .filter((mine) => mine.topic === topic && !mine.ending)
          .sort((one, other) => one.partition - other.partition)
          .slice(share)
        for (const mine of surplus) {
          mine.ending = true
          mine.news.unsafeOpen()
          mine.fiber?.addObserver(() => turnNow.unsafeOpen())
        }
        return sentMs + LEASE_MS - LEASE_MARGIN_MS
      })

    const trim = (counted: ReadonlyArray<readonly [string, number]>) =>
      Effect.forEach(
        [...held.values()].filter((mine) => counted.some(([topic]) => topic === mine.topic)),
        ({ partition, topic }) =>
          call(`trim ${topic}`, () =>
            scripts.busTrim(
              Key.stream(topic, partition),
              Key.counter(topic, partition),
              Key.groups(topic),
              partition,
              retention.keep,
              retention.ageMs,
              FORGET_GROUP_MS,
              Key.cursorsOf(topic),
            ),
          ),
        { discard: true },
      ).pipe(Effect.ignore)

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        stopping = true
        const fibers = [...held.values()].flatMap(({ fiber }) => (fiber === undefined ? [] : [fiber]))
        for (const mine of held.values()) mine.news.unsafeOpen()
        const finished = yield* Fiber.awaitAll(fibers).pipe(
          Effect.interruptible,
          Effect.timeoutOption(FINISH_MS),
        )
        if (finished._tag === "None") yield* Effect.forEach(fibers, Fiber.interruptFork, { discard: true })
        yield* Effect.forEach(
          topics,
          (topic) =>
            call(`leave ${topic}`, () =>
              scripts.busLeave(Key.members(topic, group), Key.leases(topic, group), me),
            ),
          { discard: true },
        ).pipe(Effect.interruptible, Effect.timeout(LEAVE_MS), Effect.ignore)
      }),
    )

    let trimAtMs = performance.now() + TRIM_EVERY_MS
    let failures = 0
    while (true) {
      turnNow.unsafeClose()
      const turned = yield* Effect.either(
        Effect.gen(function* () {
          const counted = yield* Effect.forEach(topics, (topic) =>
            Effect.map(countOf(topic), (count) => [topic, count] as const),
          )
          const untils = yield* Effect.forEach(counted, ([topic, count]) => turn(topic, count))
          trustedUntilMs = Math.min(...untils)
          if (performance.now() > trimAtMs) {
            trimAtMs = performance.now() + TRIM_EVERY_MS
            yield* trim(counted)
          }
        }),
      )
      if (turned._tag === "Left") {
        if (failures === 0) yield* Effect.logWarning(`consumer waits for the bus: ${turned.left.message}`)
        yield* Effect.sleep(backoffMs(++failures))
        continue
      }
      failures = 0
      yield* turnNow.await.pipe(Effect.timeoutOption(LEASE_TURN_MS))
    }
  })
