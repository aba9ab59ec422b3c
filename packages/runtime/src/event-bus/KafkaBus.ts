/**
 * The event bus on Kafka, by kafkajs.
 *
 * Not an idempotent producer, no transactions: every consumer is idempotent, and at least once is all that the sale
 * needs. kafkajs' own retries are off for sending, so that a publish that was given up isn't written later by a retry
 * that nobody waits for.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as RcRef from "effect/RcRef"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import {
  type Consumer,
  type EachBatchPayload,
  type ICustomPartitioner,
  Kafka,
  type KafkaMessage,
  logLevel,
  type Producer,
} from "kafkajs"
import { BusFailed, BusUnavailable, reasonOf } from "./BusError.ts"
import * as BusMetrics from "./BusMetrics.ts"
import * as KafkaLog from "./KafkaLog.ts"
import {
  type ConsumeOptions,
  DEFAULT_MAX_BATCH,
  type EventBusService,
  type IncomingMessage,
  type OutgoingMessage,
  slices,
} from "./Message.ts"
import { placeOf } from "./StableHash.ts"

export interface KafkaOptions {
  /** `host:port` of some brokers of the cluster. */
  readonly brokers: ReadonlyArray<string>
  /** Copies of each partition of a topic that `ensureTopics` creates. */
  readonly replicationFactor: number
  /** Put before every topic and group name, so that tests can share a cluster. */
  readonly prefix?: string
}

const CONNECT_TIMEOUT_MS = 1_000
const REQUEST_TIMEOUT_MS = 5_000
/** A publish of any size answers within this. */
const PUBLISH_DEADLINE_MS = 10_000
const ADMIN_DEADLINE_MS = 15_000
/** A connection for questions closes when nobody has asked for so long. */
const ASKING_IDLE_MS = 15_000
/** Publish calls at the broker at once, and callers waiting for their turn; more are refused at once. */
const MAX_PUBLISHING = 32
const MAX_WAITING = 2_000
const MAX_IN_FLIGHT_REQUESTS = 16

const SESSION_TIMEOUT_MS = 6_000
const HEARTBEAT_INTERVAL_MS = 1_500
const REBALANCE_TIMEOUT_MS = 10_000
/** How often a batch in hand offers a heartbeat; kafkajs sends one when HEARTBEAT_INTERVAL_MS have passed. */
const HEARTBEAT_OFFER_MS = 500
/**
 * How long the broker holds a fetch that has nothing to give. It answers at once when a message arrives, so this
 * isn't latency; but a connection answers one request at a time, so the end of a pause, and leaving the group, wait
 * behind it. Ten fetches a second of each idle group were half of what the broker did, and orders came twice as late.
 */
const FETCH_WAIT_MS = 500
/** Partitions handled at once by one consumer. */
const PARTITIONS_AT_ONCE = 8
/** A batch in hand may take this long to finish when its consumer stops or is asked to rebalance. */
const FINISH_MS = 5_000
const LEAVE_MS = 3_000
/** A consumer that neither fetched nor sent a heartbeat for this long hangs, and is replaced. */
const SILENCE_MS = 30_000
const BACKOFF_MIN_MS = 100
const BACKOFF_MAX_MS = 2_000
/** Kept longer than any outage that the system is meant to survive. */
const RETENTION_MS = 7 * 24 * 3_600_000

/** Errors of the protocol that no waiting cures. */
const FINAL_ERRORS: ReadonlySet<string> = new Set([
  "TOPIC_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
  "INVALID_GROUP_ID",
  "INVALID_TOPIC_EXCEPTION",
])

/** The member is out of its group: somebody else may have the partition already. */
const LOST_ERRORS: ReadonlySet<string> = new Set([
  "UNKNOWN_MEMBER_ID",
  "ILLEGAL_GENERATION",
  "FENCED_INSTANCE_ID",
])

/** The `type` of the protocol error at the root of what kafkajs threw, if it is one. */
const protocolType = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined
  const type = (error as Error & { readonly type?: unknown }).type
  return typeof type === "string" ? type : protocolType(error.cause)
}

const backoffMs = (failures: number): number => {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 10))
  return ceiling / 2 + Math.random() * (ceiling / 2)
}

/** Both adapters place a key by the same hash, in place of kafkajs' murmur2. */
const partitioner: ICustomPartitioner =
  () =>
  ({ topic, message, partitionMetadata }) => {
    const count = partitionMetadata.length
    if (message.partition === undefined || message.partition === null) {
      return placeOf(String(message.key), count)
    }
    if (message.partition >= count) {
      throw new RangeError(`topic ${topic} has ${count} partitions, there is no ${message.partition}`)
    }
    return message.partition
  }

const incoming = (topic: string, partition: number, message: KafkaMessage): IncomingMessage => {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    if (value !== undefined) headers[name] = String(Array.isArray(value) ? value[0] : value)
  }
  return {
    topic,
    partition,
    offset: message.offset,
    key: message.key === null ? "" : message.key.toString("utf8"),
    value: message.value ?? new Uint8Array(0),
    headers,
    timestampMs: Number(message.timestamp),
  }
}

/** The offset after `offset`: what a commit of it stores. */
const following = (offset: string): string => (BigInt(offset) + 1n).toString()

/** The bus on the given cluster. Succeeds without a broker; connects when first needed, and again whenever needed. */
export const make = (options: KafkaOptions): Effect.Effect<EventBusService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const prefix = options.prefix ?? ""
    const logCreator = KafkaLog.make(runtime)

    const newClient = (retries: number): Kafka =>
      new Kafka({
        clientId: "floodgate",
        brokers: [...options.brokers],
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries },
        logLevel: logLevel.INFO,
        logCreator,
      })

    const publish = yield* makePublish(newClient(options.brokers.length), prefix)

    const leave = (connection: ReturnType<Kafka["admin"]>) =>
      Effect.promise(() => connection.disconnect().catch(() => undefined)).pipe(
        Effect.interruptible,
        Effect.timeout(LEAVE_MS),
        Effect.ignore,
      )

    /** Runs `use` with an administrative connection of its own; these calls are rare. */
    const admin = <A>(operation: string, use: (admin: ReturnType<Kafka["admin"]>) => Promise<A>) =>
      Effect.acquireUseRelease(
        Effect.sync(() => newClient(3).admin()),
        (connection) =>
          Effect.tryPromise({
            try: async () => {
              await connection.connect()
              return await use(connection)
            },
            catch: (cause) => new BusUnavailable({ operation, reason: reasonOf(cause) }),
          }),
        leave,
      ).pipe(
        Effect.disconnect,
        Effect.interruptible,
        Effect.timeoutFail({
          duration: ADMIN_DEADLINE_MS,
          onTimeout: () =>
            new BusUnavailable({ operation, reason: `no answer within ${ADMIN_DEADLINE_MS} ms` }),
        }),
      )

    /** Kept while it is asked: what is sampled every few seconds needn't connect anew each time. */
    const asking = yield* RcRef.make({
      acquire: Effect.acquireRelease(
        Effect.flatMap(
          Effect.sync(() => newClient(1).admin()),
          (connection) =>
            Effect.tryPromise({ try: () => connection.connect(), catch: (cause) => cause }).pipe(
              Effect.as(connection),
              Effect.tapError(() => Effect.forkDaemon(leave(connection))),
            ),
        ),
        (connection) => Effect.forkDaemon(leave(connection)),
      ),
      idleTimeToLive: ASKING_IDLE_MS,
    })

    const ask = <A>(operation: string, use: (admin: ReturnType<Kafka["admin"]>) => Promise<A>) =>
      Effect.scoped(
        Effect.flatMap(RcRef.get(asking), (connection) =>
          Effect.tryPromise({ try: () => use(connection), catch: (cause) => cause }),
        ),
      ).pipe(
        Effect.disconnect,
        Effect.interruptible,
        Effect.timeoutFail({
          duration: ADMIN_DEADLINE_MS,
          onTimeout: () => new Error(`no answer within ${ADMIN_DEADLINE_MS} ms`) as unknown,
        }),
        Effect.tapError(() => RcRef.invalidate(asking)),
        Effect.mapError((cause) => new BusUnavailable({ operation, reason: reasonOf(cause) })),
      )

    const lag = Effect.fn("EventBus.lag")((group: string, topic: string) =>
      ask(`lag ${group} ${topic}`, async (connection) => {
        const name = prefix + topic
        const ends = await connection.fetchTopicOffsets(name)
        const [stored] = await connection.fetchOffsets({ groupId: prefix + group, topics: [name] })
        const positions = new Map(stored?.partitions.map((entry) => [entry.partition, BigInt(entry.offset)]))
        return ends.reduce((sum, { partition, high, low }) => {
          const position = positions.get(partition) ?? -1n
          return sum + Number(BigInt(high) - (position < 0n ? BigInt(low) : position))
        }, 0)
      }),
    )

    const members = Effect.fn("EventBus.members")((group: string) =>
      ask(`members ${group}`, async (connection) => {
        const { groups } = await connection.describeGroups([prefix + group])
        return groups[0]?.members.length ?? 0
      }),
    )

    /** Asks the leader of every partition, which a broker becomes only after it has told that it is. */
    const awaitLeaders = (topics: ReadonlyArray<string>) =>
      admin("await topics", async (connection) => {
        for (const topic of topics) await connection.fetchTopicOffsets(prefix + topic)
      }).pipe(Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 50 }))

    const ensureTopics = Effect.fn("EventBus.ensureTopics")((partitions: Readonly<Record<string, number>>) =>
      admin("create topics", async (connection) => {
        const existing = new Set(await connection.listTopics())
        const missing = Object.entries(partitions).filter(([topic]) => !existing.has(prefix + topic))
        if (missing.length === 0) return
        await connection.createTopics({
          // Asked for below: kafkajs fails while the broker that it asks doesn't know the new topics yet.
          waitForLeaders: false,
          timeout: REQUEST_TIMEOUT_MS,
          topics: missing.map(([topic, numPartitions]) => ({
            topic: prefix + topic,
            numPartitions,
            replicationFactor: options.replicationFactor,
            configEntries: [
              { name: "min.insync.replicas", value: String(Math.max(1, options.replicationFactor - 1)) },
              { name: "unclean.leader.election.enable", value: "false" },
              { name: "retention.ms", value: String(RETENTION_MS) },
            ],
          })),
        })
      }).pipe(Effect.zipRight(awaitLeaders(Object.keys(partitions)))),
    )

    return {
      publish,
      consume: (consumption) => consume(() => newClient(4), prefix, consumption),
      lag,
      members,
      ensureTopics,
      // Kafka's log is replicated and survives its brokers; it has one life.
      incarnation: Effect.succeed("kafka"),
      checkpoint: Effect.succeed(Effect.succeed(true)),
    }
  })

const makePublish = (
  client: Kafka,
  prefix: string,
): Effect.Effect<EventBusService["publish"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const connecting = yield* Effect.makeSemaphore(1)
    const publishing = yield* Effect.makeSemaphore(MAX_PUBLISHING)
    let waiting = 0
    let connected: Producer | undefined

    const end = (producer: Producer) =>
      Effect.promise(() => producer.disconnect().catch(() => undefined)).pipe(
        Effect.interruptible,
        Effect.timeout(LEAVE_MS),
        Effect.ignore,
      )

    /** A producer whose connection misbehaved is replaced: kafkajs would keep a black-holed socket for minutes. */
    const replace = (producer: Producer) =>
      Effect.suspend(() => {
        if (connected === producer) connected = undefined
        return Effect.forkDaemon(end(producer))
      })

    const connect = connecting.withPermits(1)(
      Effect.suspend(() => {
        if (connected !== undefined) return Effect.succeed(connected)
        const producer = client.producer({
          createPartitioner: partitioner,
          allowAutoTopicCreation: false,
          idempotent: false,
          maxInFlightRequests: MAX_IN_FLIGHT_REQUESTS,
          retry: { retries: 0 },
        })
        return Effect.tryPromise(() => producer.connect()).pipe(
          Effect.tapError(() => Effect.forkDaemon(end(producer))),
          Effect.map(() => {
            connected = producer
            return producer
          }),
          Effect.uninterruptible,
        )
      }),
    )

    const send = (topic: string, messages: ReadonlyArray<OutgoingMessage>) =>
      Effect.flatMap(connect, (producer) =>
        Effect.tryPromise({
          try: () =>
            producer.send({
              topic: prefix + topic,
              acks: -1,
              timeout: REQUEST_TIMEOUT_MS,
              messages: messages.map((message) => ({
                key: message.key,
                value: typeof message.value === "string" ? message.value : Buffer.from(message.value),
                ...(message.headers === undefined ? {} : { headers: { ...message.headers } }),
                ...(message.partition === undefined ? {} : { partition: message.partition }),
              })),
            }),
          catch: (cause) => cause,
        }).pipe(
          Effect.tapError((cause) => (protocolType(cause) === undefined ? replace(producer) : Effect.void)),
          // The deadline passed while the broker was silent: the connection can't be trusted.
          Effect.onInterrupt(() => replace(producer)),
        ),
      ).pipe(
        // A new leader, a coordinator that is still loading, a connection that was closed while idle.
        Effect.retry({ schedule: Schedule.jittered(Schedule.exponential(100)), times: 3 }),
      )

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => (connected === undefined ? Effect.void : end(connected))),
    )

    return Effect.fn("EventBus.publish")(function* (topic: string, messages: ReadonlyArray<OutgoingMessage>) {
      const operation = `publish ${topic}`
      if (messages.length === 0) return
      const parts = slices(messages)
      if (waiting >= MAX_WAITING) {
        return yield* new BusUnavailable({ operation, reason: `${MAX_WAITING} publishers wait already` })
      }
      waiting++
      yield* publishing
        .withPermits(1)(Effect.forEach(parts, (part) => send(topic, part), { discard: true }))
        .pipe(
          Effect.mapError((cause) => {
            const root = Cause.isUnknownException(cause) ? cause.error : cause
            return new BusUnavailable({ operation, reason: reasonOf(root) })
          }),
          Effect.disconnect,
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
  })

/** Why one life of a consumer ended. */
interface Ended {
  readonly error: unknown
  readonly lived: "joined" | "never joined"
}

/**
 * Consumers one after another until interrupted: kafkajs gives up on a broker that is away for long, and what replaces
 * it is a new consumer after a back-off.
 */
const consume = (
  newClient: () => Kafka,
  prefix: string,
  options: ConsumeOptions,
): Effect.Effect<never, BusFailed> =>
  Effect.gen(function* () {
    let failures = 0
    while (true) {
      const { error, lived } = yield* Effect.scoped(oneLife(newClient(), prefix, options))
      const type = protocolType(error)
      if (type !== undefined && FINAL_ERRORS.has(type)) {
        return yield* new BusFailed({ group: options.group, reason: reasonOf(error) })
      }
      failures = lived === "joined" ? 1 : failures + 1
      const delay = backoffMs(failures)
      const words = `consumer stopped (${reasonOf(error)}); a new one starts in ${Math.round(delay)} ms`
      yield* failures === 1 || failures % 20 === 0 ? Effect.logWarning(words) : Effect.logDebug(words)
      yield* Effect.sleep(delay)
    }
  }).pipe(Effect.annotateLogs({ group: options.group }))

/** A failing batch of a partition: what comes again, and how often it came. */
interface Failing {
  readonly firstOffset: string
  readonly lastOffset: string
  readonly times: number
}

const oneLife = (
  client: Kafka,
  prefix: string,
  options: ConsumeOptions,
): Effect.Effect<Ended, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const scope = yield* Effect.scope
    const maxBatch = options.maxBatch ?? DEFAULT_MAX_BATCH
    const ended = yield* Deferred.make<unknown>()
    const inHand = new Set<Fiber.RuntimeFiber<void, unknown>>()
    const failing = new Map<string, Failing>()
    let stopping = false
    let joined = false
    let lastSignMs = performance.now()

    const consumer: Consumer = client.consumer({
      groupId: prefix + options.group,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_INTERVAL_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { retries: 4, restartOnFailure: () => Promise.resolve(false) },
    })
    const sign = () => {
      lastSignMs = performance.now()
    }
    consumer.on(consumer.events.FETCH, sign)
    consumer.on(consumer.events.HEARTBEAT, sign)
    consumer.on(consumer.events.GROUP_JOIN, () => {
      joined = true
      BusMetrics.rebalanced(options.group)
      sign()
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      Deferred.unsafeDone(ended, Exit.succeed(payload.error))
    })

    /** Offers heartbeats while `work` runs. The result is the work's exit; the error is a heartbeat that failed. */
    const withHeartbeats = (payload: EachBatchPayload, work: Effect.Effect<void, unknown>) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(Effect.exit(work))
        const heartbeats = Effect.tryPromise({
          try: () => payload.heartbeat(),
          catch: (cause) => cause,
        }).pipe(Effect.zipRight(Effect.sleep(HEARTBEAT_OFFER_MS)), Effect.forever, Effect.flip)
        const first = yield* Effect.raceFirst(
          Effect.map(Fiber.await(fiber), (exit) => ({
            exit: Exit.flatten(exit),
            refused: undefined as unknown,
          })),
          Effect.map(heartbeats, (refused) => ({ exit: undefined, refused })),
        )
        if (first.exit !== undefined) return first
        // A rebalance waits for its members, so the batch is finished and its position stored: nothing comes twice.
        // Out of the group, the partition has a new owner already and finishing would only compete with it.
        const lost = LOST_ERRORS.has(protocolType(first.refused) ?? "")
        const exit = lost
          ? undefined
          : yield* Fiber.await(fiber).pipe(
              Effect.timeoutTo({
                duration: FINISH_MS,
                onTimeout: () => undefined,
                onSuccess: Exit.flatten,
              }),
            )
        if (exit === undefined) yield* Fiber.interruptFork(fiber)
        return { exit, refused: first.refused }
      })

    const commit = (payload: EachBatchPayload, offset: string) =>
      Effect.tryPromise({
        try: () =>
          payload.commitOffsetsIfNecessary({
            topics: [
              {
                topic: payload.batch.topic,
                partitions: [{ partition: payload.batch.partition, offset: following(offset) }],
              },
            ],
          }),
        catch: (cause) => cause,
      }).pipe(
        Effect.retry({
          schedule: Schedule.exponential(100),
          times: 3,
          while: (cause) => (cause as { readonly retriable?: boolean }).retriable === true,
        }),
        Effect.tapError((cause) =>
          Effect.logWarning(`a position wasn't stored, its batch comes again: ${reasonOf(cause)}`).pipe(
            Effect.annotateLogs({
              topic: payload.batch.topic,
              partition: payload.batch.partition,
              last_offset: offset,
            }),
          ),
        ),
        Effect.zipRight(Effect.sync(() => payload.resolveOffset(offset))),
      )

    /** The partition rests, the others go on; afterwards kafkajs fetches from the stored position again. */
    const rest = (payload: EachBatchPayload, place: string, now: Failing, cause: Cause.Cause<unknown>) =>
      Effect.gen(function* () {
        const delay = backoffMs(now.times)
        const words = `a batch failed ${now.times} time${now.times === 1 ? "" : "s"} and comes again in ${Math.round(delay)} ms`
        yield* now.times === 1 || now.times % 10 === 0
          ? Effect.logError(words, cause)
          : Effect.logDebug(words)
        failing.set(place, now)
        const resume = payload.pause()
        yield* Effect.sleep(delay).pipe(Effect.zipRight(Effect.sync(resume)), Effect.forkIn(scope))
      }).pipe(
        Effect.annotateLogs({
          topic: payload.batch.topic,
          partition: payload.batch.partition,
          first_offset: now.firstOffset,
          last_offset: now.lastOffset,
        }),
      )

    /** Hands over what one fetch brought for one partition, batch by batch. Fails with what kafkajs must see. */
    const onFetched = (payload: EachBatchPayload): Effect.Effect<void, unknown> =>
      Effect.gen(function* () {
        const { topic, partition, messages } = payload.batch
        const place = `${topic}/${partition}`
        let from = 0
        while (from < messages.length) {
          if (stopping) {
            // The fetch loop would bring the same messages at once, as often as it can.
            yield* Effect.sleep(FETCH_WAIT_MS)
            return
          }
          if (!payload.isRunning() || payload.isStale()) return
          const firstOffset = messages[from]!.offset
          const before = failing.get(place)
          const again = before?.firstOffset === firstOffset ? before : undefined
          let to = Math.min(from + maxBatch, messages.length)
          if (again !== undefined) {
            const last = messages.findIndex((message) => message.offset === again.lastOffset)
            if (last >= from) to = Math.min(to, last + 1)
          }
          const lastOffset = messages[to - 1]!.offset
          const batch = messages
            .slice(from, to)
            .map((message) => incoming(topic.slice(prefix.length), partition, message))
          const { exit, refused } = yield* withHeartbeats(
            payload,
            Effect.suspend(() => options.handle(batch)),
          )
          if (exit !== undefined && Exit.isSuccess(exit)) {
            if (!payload.isRunning() || payload.isStale()) return
            yield* commit(payload, lastOffset)
            failing.delete(place)
          } else if (exit !== undefined && !Cause.isInterruptedOnly(exit.cause)) {
            const times = (again?.times ?? 0) + 1
            yield* rest(payload, place, { firstOffset, lastOffset, times }, exit.cause)
          }
          if (refused !== undefined) return yield* Effect.fail(refused)
          if (exit === undefined || Exit.isFailure(exit)) return
          from = to
        }
      })

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        stopping = true
        const hands = [...inHand]
        const finished = yield* Fiber.awaitAll(hands).pipe(
          Effect.interruptible,
          Effect.timeoutOption(FINISH_MS),
        )
        if (finished._tag === "None") yield* Effect.forEach(hands, Fiber.interruptFork, { discard: true })
        yield* Effect.promise(() => consumer.disconnect().catch(() => undefined)).pipe(
          Effect.interruptible,
          Effect.timeout(LEAVE_MS),
          Effect.ignore,
        )
      }),
    )

    const start = Effect.tryPromise({
      try: async () => {
        await consumer.connect()
        await consumer.subscribe({
          topics: options.topics.map((topic) => prefix + topic),
          fromBeginning: true,
        })
        await consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
          eachBatch: (payload) =>
            new Promise((resolve, reject) => {
              const fiber = Runtime.runFork(runtime)(onFetched(payload))
              inHand.add(fiber)
              fiber.addObserver((exit) => {
                inHand.delete(fiber)
                if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) resolve()
                else reject(Cause.squash(exit.cause))
              })
            }),
        })
      },
      catch: (cause) => cause,
    })

    const watch = Effect.sleep(Duration.millis(SILENCE_MS / 6)).pipe(
      Effect.map(() => performance.now() - lastSignMs > SILENCE_MS),
      Effect.repeat({ until: (silent) => silent }),
      Effect.as(new Error(`no fetch and no heartbeat for ${SILENCE_MS} ms`) as unknown),
    )

    const error = yield* Effect.raceAll([
      Deferred.await(ended),
      Effect.zipRight(start, Effect.never).pipe(Effect.flip),
      watch,
    ]).pipe(Effect.disconnect)
    return { error, lived: joined ? "joined" : "never joined" } satisfies Ended
  })
