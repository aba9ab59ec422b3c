/** The whole edge over real HTTP, in this process, with fake services behind it. */
import * as Http from "node:http"
import * as Net from "node:net"
import { create } from "@bufbuild/protobuf"
import {
  GetJwksResponseSchema,
  ListRevocationsResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { EdgeConfig, type Settings } from "../EdgeConfig.ts"
import { EdgeServer } from "../EdgeServer.ts"
import { trust } from "../http/ClientAddress.ts"
import { KeyStore } from "../idempotency/KeyStore.ts"
import { server } from "../layer.ts"
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
    trustedProxies: trust([])!,
    hsts: false,
    sampleShare: 0,
    drainNoticeMs: 0,
    ...overrides,
  })

/** Every key is a new one. Tests of the keys themselves bring a real store. */
const newKeys: Layer.Layer<KeyStore> = Layer.succeed(KeyStore, {
  claim: () => Effect.succeed({ _tag: "Claimed", attempt: "one" }),
  store: () => Effect.void,
  release: () => Effect.void,
})

/** The edge over these services, which is ready: it knows the signing key of {@link bearer}. */
export const layer = <R = never>(
  peers: FakePeers.Peers,
  overrides: Partial<Settings> = {},
  keys: Layer.Layer<KeyStore, never, R> = newKeys as Layer.Layer<KeyStore, never, R>,
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
    Layer.provide([settings(overrides), FakePeers.layer(known), keys]),
    Layer.provideMerge(Readiness.layer),
    // What tests provoke fills no screens.
    Layer.provide(Logger.minimumLogLevel(LogLevel.None)),
  )
}
