/** The whole edge over real HTTP, in this process, with fake services behind it. */
import * as Http from "node:http"
import * as Net from "node:net"
import { create } from "@bufbuild/protobuf"
import { Busy, NotFound, StaleVersion } from "@floodgate/contracts/errors/Errors"
import { ListAuditResponseSchema } from "@floodgate/contracts/gen/floodgate/audit/v1/audit_pb"
import {
  GetJwksResponseSchema,
  ListRevocationsResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { limitNames } from "@floodgate/contracts/http/AdminLimit"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import { RedisUnavailable } from "@floodgate/runtime/redis/RedisError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { AuditTrail } from "../audit/AuditTrail.ts"
import * as ChallengeProvider from "../challenge/ChallengeProvider.ts"
import { EdgeConfig, type Settings } from "../EdgeConfig.ts"
import { EdgeServer } from "../EdgeServer.ts"
import { ExperimentStore } from "../experiments/ExperimentStore.ts"
import * as Experiments from "../experiments/Experiments.ts"
import { PeopleStore } from "../experiments/PeopleStore.ts"
import { LOOPBACK, trust } from "../http/ClientAddress.ts"
import { KeyStore } from "../idempotency/KeyStore.ts"
import { server } from "../layer.ts"
import * as Bucket from "../limits/Bucket.ts"
import { BucketStore } from "../limits/BucketStore.ts"
import { LimitStore, type Setting } from "../limits/LimitStore.ts"
import { FigureStore } from "../overview/FigureStore.ts"
import { Journal, type Read } from "../push/Journal.ts"
import { QueueStore } from "../queue/QueueStore.ts"
import * as Device from "../risk/Device.ts"
import { Devices } from "../risk/Devices.ts"
import { RiskStore } from "../risk/RiskStore.ts"
import * as SlidingWindow from "../risk/SlidingWindow.ts"
import { WindowStore } from "../risk/WindowStore.ts"
import * as SoldOutMarks from "../seckill/SoldOutMarks.ts"
import * as Ticket from "../ticket/Ticket.ts"
import { Tickets } from "../ticket/Tickets.ts"
import * as FakePeers from "./FakePeers.ts"
import * as Tokens from "./Tokens.ts"

const key = Tokens.signingKey("test-key")

/** A good token of a user. */
export const bearer = (user: Parameters<typeof Tokens.claims>[0]) => ({
  authorization: `Bearer ${Tokens.token(key, user)}`,
})

export const signingKey = key

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  /** The parsed body; undefined where it isn't JSON. */
  readonly json: any
}

export interface Ask {
  readonly method?: string
  readonly headers?: Record<string, string>
  /** An object is sent as JSON, a string or bytes as they are. */
  readonly body?: unknown
}

export class TestEdge extends Context.Tag("@floodgate/edge/testing/TestEdge")<
  TestEdge,
  {
    readonly port: number
    readonly ask: (path: string, options?: Ask) => Effect.Effect<Answer>
    /** Sends bytes on a bare socket, and gives what came back when the other side has closed. */
    readonly raw: (text: string) => Effect.Effect<string>
  }
>() {}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const ask = (port: number, path: string, options: Ask): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const { body } = options
    const isPlain = body === undefined || typeof body === "string" || body instanceof Uint8Array
    const bytes = isPlain ? ((body as string | Uint8Array | undefined) ?? "") : JSON.stringify(body)
    const request = Http.request(
      {
        port,
        host: "127.0.0.1",
        path,
        method: options.method ?? (body === undefined ? "GET" : "POST"),
        agent: false,
        headers: {
          ...(body === undefined ? undefined : { "content-type": "application/json" }),
          // Node sends a DELETE's body without any length of its own accord.
          ...(body === undefined || options.headers?.["transfer-encoding"] !== undefined
            ? undefined
            : { "content-length": String(Buffer.byteLength(bytes)) }),
          ...options.headers,
        },
      },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("latin1")
          const utf8 = Buffer.concat(chunks).toString("utf8")
          const encoded = response.headers["content-encoding"] !== undefined
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: encoded ? text : utf8,
              json: encoded ? undefined : parse(utf8),
            }),
          )
        })
      },
    )
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(bytes)
    return Effect.sync(() => request.destroy())
  })

const raw = (port: number, text: string): Effect.Effect<string> =>
  Effect.async((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(text, "latin1"))
    let got = ""
    socket.on("data", (chunk) => {
      got += chunk.toString("utf8")
    })
    socket.on("error", () => undefined)
    socket.on("close", () => resume(Effect.succeed(got)))
    return Effect.sync(() => socket.destroy())
  })

const settings = (overrides: Partial<Settings>): Layer.Layer<EdgeConfig> =>
  Layer.succeed(EdgeConfig, {
    port: 0,
    host: "127.0.0.1",
    corsOrigins: ["https://shop.example"],
    trustedProxies: trust(LOOPBACK)!,
    hsts: false,
    sampleShare: 0,
    drainNoticeMs: 0,
    webDir: undefined,
    mediaDir: "/nowhere",
    ...overrides,
  })

/** Every key is a new one. Tests of the keys themselves bring a real store. */
const newKeys: Layer.Layer<KeyStore> = Layer.succeed(KeyStore, {
  claim: () => Effect.succeed({ _tag: "Claimed", attempt: "one" }),
  store: () => Effect.void,
  release: () => Effect.void,
})

/** The edge's own trail, empty. */
const emptyTrail = Layer.succeed(AuditTrail, {
  listAudit: () => Effect.succeed(create(ListAuditResponseSchema, {})),
})

/** Buckets that only this edge has: the arithmetic of the real ones, without Redis. */
const ownBuckets = Layer.sync(BucketStore, () => {
  const states = new Map<string, Bucket.State>()
  return BucketStore.of({
    draw: ({ key, rate, spent, wanted }) =>
      Effect.sync(() => {
        const nowMs = performance.now()
        const [state, lease] = Bucket.lease(states.get(key) ?? Bucket.full(nowMs), rate, nowMs, spent, wanted)
        states.set(key, state)
        return lease
      }),
  })
})

/** Limits that no test meets by accident: raised, as a benchmark raises them. */
const raised: ReadonlyArray<Setting> = limitNames.map((name) => ({
  name,
  productId: undefined,
  rate: 1_000_000,
  burst: 1_000_000,
  version: 2,
  updatedMs: 0,
}))

/** Limits of this edge alone, which can be changed. */
const ownLimits = (initial: ReadonlyArray<Setting>) =>
  Layer.sync(LimitStore, () => {
    const settings = new Map(initial.map((setting) => [`${setting.name} ${setting.productId}`, setting]))
    let revision = 1
    return LimitStore.of({
      revision: Effect.sync(() => revision),
      list: Effect.sync(() => [...settings.values()]),
      change: ({ burst, name, productId, rate, version }) =>
        Effect.gen(function* () {
          const id = `${name} ${productId}`
          const current = settings.get(id)?.version ?? 1
          if (version !== undefined && version !== current)
            return yield* new StaleVersion({ version: current })
          const setting = { name, productId, rate, burst, version: current + 1, updatedMs: Date.now() }
          settings.set(id, setting)
          revision++
          return setting
        }),
    })
  })

/** The journal of this edge alone, read by nobody else. */
const ownJournal = Layer.sync(Journal, () => {
  const entries: Array<Read> = []
  const once = new Map<string, string>()
  return Journal.of({
    append: (entry) =>
      Effect.sync(() => {
        entries.push({ id: `${entries.length + 1}-0`, number: entries.length + 1, entry })
      }),
    all: Effect.sync(() => [...entries]),
    after: (id) => Effect.sync(() => entries.slice(Number.parseInt(id, 10))),
    keepOnce: (key, value) => Effect.sync(() => once.set(key, value)),
    takeOnce: (key) =>
      Effect.sync(() => {
        const value = once.get(key) ?? null
        once.delete(key)
        return value
      }),
  })
})

/** Counters that only this edge has: the arithmetic of the real ones, without Redis. */
const ownWindows = Layer.sync(WindowStore, () => {
  const hits = new Map<string, SlidingWindow.State>()
  const members = new Map<string, Map<string, number>>()
  return WindowStore.of({
    hits: (key, add, windowMs) =>
      Effect.sync(() => {
        const now = Date.now()
        const state = SlidingWindow.add(hits.get(key) ?? SlidingWindow.empty, now, windowMs, add)
        hits.set(key, state)
        return Math.ceil(SlidingWindow.count(state, now, windowMs))
      }),
    members: (key, member, windowMs, max) =>
      Effect.sync(() => {
        const now = Date.now()
        const seen = members.get(key) ?? new Map<string, number>()
        members.set(key, seen)
        if (!seen.has(member) && seen.size >= max) return { count: seen.size, waitMs: windowMs }
        seen.set(member, now)
        return { count: seen.size, waitMs: 0 }
      }),
  })
})

/** No rules and no lists. Tests of them bring the real store. */
const noRisk = Layer.succeed(RiskStore, {
  revision: Effect.succeed(1),
  rules: Effect.succeed([]),
  blocks: Effect.succeed([]),
  createRule: () => new Busy({}),
  changeRule: () => new Busy({}),
  deleteRule: () => new Busy({}),
  listBlocks: () => Effect.succeed([]),
  putBlock: () => new Busy({}),
  deleteBlock: () => new Busy({}),
  insertRecords: () => Effect.void,
  listRecords: () => Effect.succeed([]),
  purgeRecords: () => Effect.succeed(0),
})

/** Waiting rooms that can't be reached. Tests of them bring the real ones. */
const noQueues = Layer.succeed(QueueStore, {
  join: () => new RedisUnavailable({ op: "queue", reason: "there is none" }),
  ask: () => new RedisUnavailable({ op: "queue", reason: "there is none" }),
})

/** Nothing that edges count together: this one shows its own. */
const noFigures = Layer.succeed(FigureStore, {
  add: () => new RedisUnavailable({ op: "overview", reason: "there is none" }),
  read: () => new RedisUnavailable({ op: "overview", reason: "there is none" }),
})

/** No experiments, and nowhere to keep them. Tests of them bring the real ones. */
const noExperiments: Layer.Layer<ExperimentStore | PeopleStore> = Layer.merge(
  Layer.succeed(ExperimentStore, {
    revision: Effect.succeed(0),
    running: Effect.succeed([]),
    list: () => Effect.succeed([]),
    get: () => new NotFound({}),
    create: () => new Busy({}),
    change: () => new NotFound({}),
  }),
  Layer.succeed(PeopleStore, {
    add: () => Effect.void,
    count: () => new NotFound({}),
    forget: Effect.succeed(false),
  }),
)

/** Limits raised, but for these, which are as the table has them. */
export const raisedBut = (...names: ReadonlyArray<string>) =>
  ownLimits(raised.filter(({ name }) => !names.includes(name)))

/** Limits as the table has them, until a test changes them. */
export const defaultLimits = ownLimits([])

/** As little work as shows that there is some. */
export const CHALLENGE_BITS = 6

/** What stands between a crowd and the sale, where a test is about that. */
export interface Pressure {
  readonly limits?: Layer.Layer<LimitStore>
  readonly buckets?: Layer.Layer<BucketStore>
  readonly queues?: Layer.Layer<QueueStore>
  readonly figures?: Layer.Layer<FigureStore>
  readonly experiments?: Layer.Layer<ExperimentStore | PeopleStore>
  readonly risk?: Layer.Layer<RiskStore>
  readonly windows?: Layer.Layer<WindowStore>
}

const ticketKey = "dev-only-ticket-key-of-the-tests"

/** The signer of the tickets that the edge of a test takes. */
export const tickets = Ticket.make([ticketKey])

/** The issuer of the device ids that it takes. */
export const devices = Device.make([ticketKey])

/** The edge over these services, which is ready: it knows the signing key of {@link bearer}. */
export const layer = <R = never>(
  peers: FakePeers.Peers,
  overrides: Partial<Settings> = {},
  keys: Layer.Layer<KeyStore, never, R> = newKeys as Layer.Layer<KeyStore, never, R>,
  pressure: Pressure = {},
) => {
  const known: FakePeers.Peers = {
    ...peers,
    identity: {
      getJwks: () => Effect.succeed(create(GetJwksResponseSchema, { jwksJson: Tokens.jwks(key) })),
      listRevocations: () => Effect.succeed(create(ListRevocationsResponseSchema, {})),
      ...peers.identity,
    },
  }
  return Layer.effect(
    TestEdge,
    Effect.map(EdgeServer, ({ port }) => ({
      port,
      ask: (path: string, options: Ask = {}) => ask(port, path, options),
      raw: (text: string) => raw(port, text),
    })),
  ).pipe(
    Layer.provideMerge(server),
    Layer.provide(Experiments.layer),
    Layer.provide([
      settings(overrides),
      FakePeers.layer(known),
      keys,
      emptyTrail,
      pressure.queues ?? noQueues,
      pressure.figures ?? noFigures,
      SoldOutMarks.layer,
      pressure.buckets ?? ownBuckets,
      pressure.limits ?? ownLimits(raised),
      pressure.experiments ?? noExperiments,
      Layer.succeed(Tickets, tickets),
      Layer.succeed(Devices, devices),
      Layer.succeed(ChallengeProvider.ChallengeProvider, ChallengeProvider.make([ticketKey], CHALLENGE_BITS)),
      pressure.risk ?? noRisk,
      pressure.windows ?? ownWindows,
    ]),
    Layer.provideMerge(ownJournal),
    Layer.provideMerge(Readiness.layer),
    // What tests provoke fills no screens.
    Layer.provide(Logger.minimumLogLevel(LogLevel.None)),
  )
}
