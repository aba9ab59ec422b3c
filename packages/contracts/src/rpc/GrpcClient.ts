/**
 * Calls a service of `defineRpc` as Effects: typed errors come out as they went in, the caller's deadline and trace
 * travel along, and an interrupted fiber cancels its call.
 */
import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt"
import {
  type ChannelOptions,
  type ClientReadableStream,
  credentials,
  Client as GrpcChannel,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Busy, Internal, type InvalidInput, type Unauthenticated } from "../errors/Errors.ts"
import { CallDeadline } from "./CallDeadline.ts"
import type { AnyRpcDefinition, RequestInit, ResponseOf, StreamMethod, UnaryMethod } from "./defineRpc.ts"
import * as GrpcStatus from "./GrpcStatus.ts"
import { authorizationKey, type Caller, callerKey, type ServiceCredentialShape } from "./ServiceCredential.ts"

/** Bound of one message, in bytes, on both sides. */
export const maxMessageBytes = 4 * 1024 * 1024

/** A call's deadline where neither the client nor the call says another, in milliseconds. */
export const defaultDeadlineMs = 5_000

/**
 * What every call may fail with, declared or not: Busy (the peer can't be reached, was too slow, or gave up: of a write
 * the outcome is then unknown, unless {@link wasNotSent}), Unauthenticated (our credential was refused), InvalidInput, Internal.
 */
export type TransportError = Busy | Internal | Unauthenticated | InvalidInput

export interface CallOptions {
  /** Milliseconds for this call, retries included. What the fiber's own caller has left shortens it further. */
  readonly deadlineMs?: number
  /** The user on whose behalf the call is made. */
  readonly caller?: Caller
  /** `false`: no span and no trace context, for a path that can't afford them. */
  readonly span?: boolean
  /**
   * Neither asks the breaker nor tells it anything: for a gentle poll that must not be turned away with the crowd (who
   * is banned, which keys sign).
   */
  readonly bypassBreaker?: boolean
}

export interface StreamOptions {
  /** The user on whose behalf the call is made. */
  readonly caller?: Caller
}

/**
 * The methods of a definition as functions: an Effect for one answer, a Stream for many.
 *
 * A stream has no deadline: it ends when its server says so, with Busy when the server drains or can't be reached any
 * more (listen again, later), or with the scope that it runs in, which cancels the call. It is pulled: messages that
 * nobody takes stay with the server, but for a few. It has no span and is never repeated by itself.
 */
export type Client<D extends AnyRpcDefinition> = {
  readonly [K in UnaryMethod<D>]: (
    request: RequestInit<D["service"]["method"][K]>,
    options?: CallOptions,
  ) => Effect.Effect<
    ResponseOf<D["service"]["method"][K]>,
    InstanceType<D["errors"][K][number]> | TransportError
  >
} & {
  readonly [K in StreamMethod<D>]: (
    request: RequestInit<D["service"]["method"][K]>,
    options?: StreamOptions,
  ) => Stream.Stream<
    ResponseOf<D["service"]["method"][K]>,
    InstanceType<D["errors"][K][number]> | TransportError
  >
}

/**
 * How to repeat what may be repeated. It is given only calls whose method is declared free of side effects or
 * idempotent, and `isRetryable` holds only where the peer couldn't be reached: an answer of the peer is never asked for
 * twice.
 */
export type RetryHook = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  isRetryable: (error: E) => boolean,
) => Effect.Effect<A, E, R>

/**
 * A circuit breaker, asked before every attempt. `enter` answers a ticket above zero, which goes to `leave` exactly once
 * with what became of the attempt, how long it took and how long it might have taken (ms); zero or less is a refusal,
 * whose absolute value is how long (ms) it pays to wait.
 */
export interface CallGate {
  readonly enter: () => number
  readonly leave: (
    ticket: number,
    verdict: "answered" | "failed" | "ignored",
    tookMs: number,
    limitMs: number,
  ) => void
}

/** Calls of one client under way at once, where it doesn't say. */
export const defaultMaxInFlight = 1_024

export interface ClientOptions {
  /**
   * `host:port` of the peer, `dns:///host:port`, or several of its instances as `ip:port,ip:port`. Calls take turns
   * over the instances that can be reached.
   */
  readonly url: string
  readonly credential: ServiceCredentialShape
  /** Milliseconds a call may take, by method (`getProduct`). Default: 5,000 for each. */
  readonly deadlineMs?: (method: string) => number
  /** How a method's calls are repeated, where they may be. Without it, or without an answer, they aren't. */
  readonly retry?: (method: string) => RetryHook | undefined
  /** The peer's breaker. An attempt that it turns away fails at once with Busy, and isn't repeated. Streams pass it by. */
  readonly gate?: CallGate
  /**
   * Hears of every attempt of a call, streams apart: what became of it by gRPC's code (undefined where nothing was sent),
   * whether it is an error that the method declares, and how long it took (ms). Must not throw.
   */
  readonly onAttempt?: (method: string, code: number | undefined, declared: boolean, tookMs: number) => void
  /** Attempts under way at once, streams apart; one more fails at once with Busy. Default 1,024. */
  readonly maxInFlight?: number
}

const channelOptions: ChannelOptions = {
  "grpc.max_receive_message_length": maxMessageBytes,
  "grpc.max_send_message_length": maxMessageBytes,
  // Whether a call may be repeated is ours to say, by its idempotency level and a budget.
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // Each call goes to the next instance that is connected; one that is gone is passed over until it is back.
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // A peer that went away without a word is noticed within 13 s, and one that came back within a second.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Peers are neighbours: a proxy from the environment is meant for the outside world.
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  // Bookkeeping of each call for a debugging protocol that nobody serves here.
  "grpc.enable_channelz": 0,
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const sameBuffer = (buffer: Buffer): Buffer => buffer

const common = new Set(["Busy", "Internal", "Unauthenticated", "InvalidInput"])

/** An attempt that never left: the breaker is open, or too many are under way. */
class NotSent {
  readonly busy: Busy
  constructor(retryAfterMs: number) {
    this.busy = new Busy({ retry_after_ms: Math.max(1, Math.ceil(retryAfterMs)) })
    unsent.add(this.busy)
  }
}

const unsent = new WeakSet<object>()

/** Whether a call's Busy was made here, without anything having been sent: the call certainly had no effect. */
export const wasNotSent = (error: unknown): boolean =>
  typeof error === "object" && error !== null && unsent.has(error)

const unimplemented = new WeakSet<object>()

/** Whether a call failed because its peer doesn't know the method (an older release): it certainly had no effect. */
export const isUnimplemented = (error: unknown): boolean =>
  typeof error === "object" && error !== null && unimplemented.has(error)

/** What a caller waits (ms) when too many calls are under way. */
const crowdedRetryMs = 500

/** An attempt that was given less than this (ms) can time out for its caller's sake. */
const patienceMs = 200

/**
 * What a failed attempt says of the peer: every answer it gave is one, be it an error. A time-out that came as late again
 * as it should have was this process standing still.
 */
const verdictOn = (
  error: ServiceError,
  tookMs: number,
  limitMs: number,
): "answered" | "failed" | "ignored" => {
  switch (error.code) {
    case status.UNAVAILABLE:
      return GrpcStatus.toError(error.metadata) === undefined ? "failed" : "answered"
    case status.DEADLINE_EXCEEDED:
      return limitMs < patienceMs || tookMs > limitMs * 2 ? "ignored" : "failed"
    case status.CANCELLED:
      return "ignored"
    default:
      return "answered"
  }
}

const isUnreachable = (error: unknown): boolean => {
  if (error instanceof NotSent) return false
  const { code, metadata } = error as ServiceError
  // UNAVAILABLE with a typed error is the peer's own answer (it is busy), not the lack of one.
  return code === status.UNAVAILABLE && GrpcStatus.toError(metadata) === undefined
}

/**
 * The W3C traceparent of a span. One that isn't sampled is passed on as such: the peer's log and audit trail know the
 * click all the same. A process that records no spans has some without ids of their own; then the trace that it was
 * called in counts.
 */
const traceparentOf = (span: Tracer.AnySpan): string | undefined => {
  let at = span
  while (at.traceId.length !== 32) {
    if (at._tag !== "Span" || Option.isNone(at.parent)) return undefined
    at = at.parent.value
  }
  return `00-${at.traceId}-${at.spanId}-${at.sampled ? "01" : "00"}`
}

/** How grpc-js writes several addresses of one peer. */
const targetOf = (url: string): string =>
  url.includes(",") ? `${url.includes("[") ? "ipv6" : "ipv4"}:${url}` : url

interface Channel {
  readonly grpc: GrpcChannel
  readonly options: ClientOptions
  readonly maxInFlight: number
  /** Unary attempts under way. */
  inFlight: number
  /** Metadata with our credential only: shared by calls (grpc-js clones it) for as long as the token lasts. */
  readonly metadata: () => Metadata
}

/** Whether an answer is an error that the method declares, or one of the peer's everyday ones. */
const isDeclared = (error: ServiceError, declared: ReadonlySet<string>): boolean => {
  const typed = GrpcStatus.toError(error.metadata)
  return typed !== undefined && (declared.has(typed._tag) || typed._tag === "InvalidInput")
}

/** What a call's failure is to its caller. */
const failWith =
  (name: string, declared: ReadonlySet<string>) =>
  (error: ServiceError | NotSent): Effect.Effect<never, unknown> => {
    if (error instanceof NotSent) return Effect.fail(error.busy)
    const typed = GrpcStatus.toError(error.metadata)
    if (typed !== undefined && (common.has(typed._tag) || declared.has(typed._tag))) return Effect.fail(typed)
    const told = GrpcStatus.fromTransport(error.code)
    if (error.code === status.UNIMPLEMENTED) unimplemented.add(told)
    const failure = Effect.fail(told)
    // A peer that is away or slow is an everyday thing, told by the error; the others mean that somebody is wrong.
    return error.code === status.UNAVAILABLE ||
      error.code === status.DEADLINE_EXCEEDED ||
      error.code === status.CANCELLED
      ? failure
      : Effect.zipRight(
          Effect.logWarning(
            `${name} answered ${status[error.code]}: ${typed === undefined ? error.details : `undeclared ${typed._tag}`}`,
          ),
          failure,
        )
  }

const decodeAs =
  (desc: DescMethod) =>
  (bytes: Buffer): Effect.Effect<unknown, unknown> =>
    Effect.try({ try: () => fromBinary(desc.output, bytes), catch: () => new Internal({}) })

/** Takes one message after another; what hasn't been taken stays in the call's own bounded buffer. */
const pull = (
  call: ClientReadableStream<Buffer>,
): Effect.Effect<Chunk.Chunk<Buffer>, Option.Option<ServiceError>> => {
  // A listener for as long as the call exists: an error that nobody hears would end the process.
  let over: Option.Option<ServiceError> | undefined
  let waiting = (): void => {}
  const end = (why: Option.Option<ServiceError>) => (): void => {
    over ??= why
    waiting()
  }
  call.on("error", (error: ServiceError) => end(Option.some(error))())
  call.on("end", end(Option.none()))
  call.on("readable", () => waiting())
  return Effect.async((resume) => {
    waiting = () => {
      const bytes = call.read() as Buffer | null
      if (bytes === null && over === undefined) return
      waiting = () => {}
      resume(bytes === null ? Effect.fail(over!) : Effect.succeed(Chunk.of(bytes)))
    }
    waiting()
    return Effect.sync(() => {
      waiting = () => {}
    })
  })
}

const streaming = (
  channel: Channel,
  desc: DescMethod,
  declared: ReadonlySet<string>,
): ((request: never, options?: StreamOptions) => Stream.Stream<unknown, unknown>) => {
  const path = `/${desc.parent.typeName}/${desc.name}`
  const fail = failWith(`${desc.parent.typeName}/${desc.name}`, declared)
  const decode = decodeAs(desc)
  return (request, options) =>
    Stream.fromPull(
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => {
            let metadata = channel.metadata()
            if (options?.caller !== undefined) {
              metadata = metadata.clone()
              metadata.set(callerKey, channel.options.credential.callerToken(options.caller))
            }
            const bytes = bufferOf(toBinary(desc.input, create(desc.input, request)))
            return channel.grpc.makeServerStreamRequest(path, sameBuffer, sameBuffer, bytes, metadata)
          }),
          (call) => Effect.sync(() => call.cancel()),
        ),
        pull,
      ),
    ).pipe(
      Stream.catchAll((error) => Stream.fromEffect(fail(error))),
      Stream.mapEffect(decode),
    )
}

const method = (
  channel: Channel,
  desc: DescMethod,
  declared: ReadonlySet<string>,
): ((request: never, options?: CallOptions) => Effect.Effect<unknown, unknown>) => {
  const service = desc.parent.typeName
  const path = `/${service}/${desc.name}`
  const spanName = `${service}/${desc.name}`
  const attributes = {
    "rpc.system": "grpc",
    "rpc.service": service,
    "rpc.method": desc.name,
    "server.address": channel.options.url,
  }
  const retry =
    desc.idempotency === Idempotency.IDEMPOTENCY_UNKNOWN ? undefined : channel.options.retry?.(desc.localName)
  const { onAttempt } = channel.options
  const ownDeadlineMs = channel.options.deadlineMs?.(desc.localName) ?? defaultDeadlineMs

  const attempt = (
    bytes: Buffer,
    metadata: Metadata,
    deadline: number,
    gate: CallGate | undefined,
  ): Effect.Effect<Buffer, ServiceError | NotSent> =>
    Effect.async((resume) => {
      if (channel.inFlight >= channel.maxInFlight) {
        onAttempt?.(desc.name, undefined, false, 0)
        resume(Effect.fail(new NotSent(crowdedRetryMs)))
        return
      }
      const ticket = gate === undefined ? 0 : gate.enter()
      if (gate !== undefined && ticket <= 0) {
        onAttempt?.(desc.name, undefined, false, 0)
        resume(Effect.fail(new NotSent(-ticket)))
        return
      }
      const startedAt = Date.now()
      const began = onAttempt === undefined ? 0 : performance.now()
      // grpc-js calls back exactly once, for a cancelled call too, and never before this returns.
      const call = channel.grpc.makeUnaryRequest(
        path,
        sameBuffer,
        sameBuffer,
        bytes,
        metadata,
        { deadline },
        (error, answer) => {
          channel.inFlight--
          onAttempt?.(
            desc.name,
            error === null ? status.OK : error.code,
            error !== null && isDeclared(error, declared),
            performance.now() - began,
          )
          if (gate !== undefined) {
            const tookMs = Date.now() - startedAt
            const limitMs = deadline - startedAt
            gate.leave(
              ticket,
              error === null ? "answered" : verdictOn(error, tookMs, limitMs),
              tookMs,
              limitMs,
            )
          }
          resume(error === null ? Effect.succeed(answer!) : Effect.fail(error))
        },
      )
      channel.inFlight++
      return Effect.sync(() => call.cancel())
    })

  const fail = failWith(spanName, declared)
  const decode = decodeAs(desc)

  const exchange = (
    bytes: Buffer,
    deadline: number,
    caller: Caller | undefined,
    traceparent: string | undefined,
    gate: CallGate | undefined,
  ): Effect.Effect<unknown, unknown> => {
    let metadata = channel.metadata()
    if (caller !== undefined || traceparent !== undefined) {
      metadata = metadata.clone()
      if (caller !== undefined) metadata.set(callerKey, channel.options.credential.callerToken(caller))
      if (traceparent !== undefined) metadata.set("traceparent", traceparent)
    }
    const once = attempt(bytes, metadata, deadline, gate)
    return Effect.matchEffect(retry === undefined ? once : retry(once, isUnreachable), {
      onFailure: fail,
      onSuccess: decode,
    })
  }

  return (request, options) =>
    Effect.withFiberRuntime((fiber) => {
      const context = fiber.currentContext
      const nowMs = Date.now()
      const deadline = Math.min(
        nowMs + (options?.deadlineMs ?? ownDeadlineMs),
        Context.get(context, CallDeadline),
      )
      if (deadline <= nowMs) return Effect.fail(new Busy({}))
      const bytes = bufferOf(toBinary(desc.input, create(desc.input, request)))
      const parent = options?.span === false ? Option.none() : Context.getOption(context, Tracer.ParentSpan)
      // Whether this work is traced was decided where it began: an unsampled request has no spans at all.
      const traced =
        options?.span !== false &&
        fiber.getFiberRef(FiberRef.currentTracerEnabled) &&
        (Option.isNone(parent) || parent.value.sampled)
      const gate = options?.bypassBreaker === true ? undefined : channel.options.gate
      return traced
        ? Effect.useSpan(spanName, { kind: "client", captureStackTrace: false, attributes }, (span) =>
            exchange(bytes, deadline, options?.caller, traceparentOf(span), gate),
          )
        : exchange(
            bytes,
            deadline,
            options?.caller,
            Option.isNone(parent) ? undefined : traceparentOf(parent.value),
            gate,
          )
    })
}

/**
 * A client of one service over one connection, which is opened by the first call, kept alive, and closed with the
 * scope. The connection is plain HTTP/2: it belongs on a loopback or inside a mesh that encrypts.
 */
export const make = <D extends AnyRpcDefinition>(
  definition: D,
  options: ClientOptions,
): Effect.Effect<Client<D>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new GrpcChannel(targetOf(options.url), credentials.createInsecure(), channelOptions)),
      (grpc) => Effect.sync(() => grpc.close()),
    ),
    (grpc) => {
      let authorization = ""
      let shared = new Metadata()
      const channel: Channel = {
        grpc,
        options,
        maxInFlight: options.maxInFlight ?? defaultMaxInFlight,
        inFlight: 0,
        metadata: () => {
          const current = options.credential.authorization()
          if (current !== authorization) {
            authorization = current
            shared = new Metadata()
            shared.set(authorizationKey, current)
          }
          return shared
        },
      }
      return Object.fromEntries(
        (definition.service.methods as ReadonlyArray<DescMethod>)
          .filter(({ methodKind }) => methodKind === "unary" || methodKind === "server_streaming")
          .map((desc) => [
            desc.localName,
            (desc.methodKind === "unary" ? method : streaming)(
              channel,
              desc,
              new Set(definition.errors[desc.localName].map((cls: { _tag: string }) => cls._tag)),
            ),
          ]),
      ) as unknown as Client<D>
    },
  )
