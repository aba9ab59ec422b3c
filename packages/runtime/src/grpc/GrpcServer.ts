/**
 * Serves the services of `defineRpc`: one of the three places where an Effect is run by foreign code.
 *
 * Every call but a health check carries a service credential, else it is answered UNAUTHENTICATED before its message
 * is read. A call gets one fiber. What happens to that fiber when its caller goes away is the method's
 * `idempotency_level`: a method without side effects is interrupted; any other runs to its end, since half a
 * write is worse than one whose answer nobody hears. (It runs interruptibly all the same, only nobody interrupts
 * it: inside `Effect.uninterruptible` its own time-outs couldn't give up.)
 *
 * A method that answers with a stream has one fiber, too, which is interrupted when its caller leaves. It has no
 * deadline and no span. Messages are written one by one, as fast as the caller reads them; one that doesn't read is
 * turned away. When the server stops, streams end first, with Busy: who listens asks another instance.
 */
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt"
import {
  Busy,
  type FloodgateError,
  type Internal,
  InvalidInput,
  Unauthenticated,
} from "@floodgate/contracts/errors/Errors"
import {
  HealthCheckRequestSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "@floodgate/contracts/gen/grpc/health/v1/health_pb"
import { CallDeadline } from "@floodgate/contracts/rpc/CallDeadline"
import type {
  AnyRpcDefinition,
  RequestOf,
  ResponseInit,
  StreamMethod,
  UnaryMethod,
} from "@floodgate/contracts/rpc/defineRpc"
import { maxMessageBytes } from "@floodgate/contracts/rpc/GrpcClient"
import * as GrpcStatus from "@floodgate/contracts/rpc/GrpcStatus"
import {
  authorizationKey,
  type Caller,
  callerKey,
  ServiceCredential,
} from "@floodgate/contracts/rpc/ServiceCredential"
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as AppConfig from "../config/AppConfig.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"
import * as GrpcMetrics from "./GrpcMetrics.ts"
import * as Health from "./Health.ts"

/** The address couldn't be bound: held by another process, or not of this machine. */
export class GrpcBindFailed extends Data.TaggedError("GrpcBindFailed")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message(): string {
    return `gRPC can't listen on ${this.host}:${this.port}: ${this.reason}`
  }
}

/** What a handler knows of a call beside its request. */
export interface CallContext {
  /** The user on whose behalf the call came, proved by `x-floodgate-caller`; undefined where a service calls for itself. */
  readonly caller: Caller | undefined
  /** The name of the calling service. */
  readonly peer: string
  /**
   * Unix milliseconds by which the caller wants the answer; infinite for a stream. Calls made from the handler carry it
   * on by themselves.
   */
  readonly deadlineMs: number
}

/** What a handler may fail with beside the errors that its method declares. */
export type HandlerError = Busy | InvalidInput | Unauthenticated | Internal

export type Handlers<D extends AnyRpcDefinition, R> = {
  readonly [K in UnaryMethod<D>]: (
    request: RequestOf<D["service"]["method"][K]>,
    context: CallContext,
  ) => Effect.Effect<
    ResponseInit<D["service"]["method"][K]>,
    InstanceType<D["errors"][K][number]> | HandlerError,
    R
  >
} & {
  readonly [K in StreamMethod<D>]: (
    request: RequestOf<D["service"]["method"][K]>,
    context: CallContext,
  ) => Stream.Stream<
    ResponseInit<D["service"]["method"][K]>,
    InstanceType<D["errors"][K][number]> | HandlerError,
    R
  >
}

type Handler<R> = (request: never, context: CallContext) => Effect.Effect<unknown, FloodgateError, R>

type StreamHandler<R> = (request: never, context: CallContext) => Stream.Stream<unknown, FloodgateError, R>

/** A service with its handlers, which need R. */
export interface GrpcService<out R> {
  readonly service: DescService
  readonly handlers: Readonly<Record<string, Handler<R> | StreamHandler<R>>>
}

type RequirementsOf<H> = {
  [K in keyof H]: H[K] extends (...args: never) => Effect.Effect<unknown, unknown, infer R>
    ? R
    : H[K] extends (...args: never) => Stream.Stream<unknown, unknown, infer R>
      ? R
      : never
}[keyof H]

/** Ties handlers to a definition: one for each method, each failing with what its method declares and nothing else. */
export const service = <D extends AnyRpcDefinition, const H extends Handlers<D, any>>(
  definition: D,
  handlers: H,
): GrpcService<RequirementsOf<H>> => ({
  service: definition.service,
  handlers: handlers as unknown as Record<string, Handler<RequirementsOf<H>>>,
})

export interface GrpcServerOptions<S extends ReadonlyArray<GrpcService<any>>> {
  readonly port: Config.Config<number>
  /** The address to bind. Default: `BIND_HOST`, else the loopback. */
  readonly host?: Config.Config<string>
  readonly services: S
  /** How many calls run at once; one more is answered Busy. Default: 1,024. */
  readonly maxConcurrentCalls?: number
  /** How many streams are open at once; one more is answered Busy. Default: 256. */
  readonly maxStreams?: number
  /** How long a stream's caller may leave what it has asked for unread, in milliseconds. Default: 30,000. */
  readonly maxStallMs?: number
  /** How long calls in flight may go on once the scope closes, in milliseconds; then they are interrupted. Default: 5,000. */
  readonly drainMs?: number
}

/** For callers that send no deadline, in milliseconds. */
const defaultDeadlineMs = 10_000
/** Watches of health that can be open at once; one more is turned away. */
const maxWatches = 64
/** How long calls that outlived the drain have to end after their interruption, in milliseconds. */
const interruptMs = 1_000

const sameBuffer = (buffer: Buffer): Buffer => buffer

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const first = (metadata: Metadata, key: string): string | undefined => {
  const [value] = metadata.get(key)
  return typeof value === "string" ? value : undefined
}

// Made once: answering these must stay cheap when they are needed most.
const refused = GrpcStatus.fromError(new Unauthenticated({}))
const overloaded: GrpcStatus.WireStatus = {
  ...GrpcStatus.fromError(new Busy({ retry_after_ms: 1_000 })),
  code: status.RESOURCE_EXHAUSTED,
}
const malformed = GrpcStatus.fromError(InvalidInput.at("", "not a message of this method"))

const draining = GrpcStatus.fromError(new Busy({}))

/** Messages pass as bytes, because a request is read only after its credential was. */
const definitionOf = (desc: DescService): ServiceDefinition =>
  Object.fromEntries(
    desc.methods.map((method) => [
      method.localName,
      {
        path: `/${desc.typeName}/${method.name}`,
        requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
        responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
        requestSerialize: sameBuffer,
        requestDeserialize: sameBuffer,
        responseSerialize: sameBuffer,
        responseDeserialize: sameBuffer,
      },
    ]),
  )

/** Runs a call's Effect on a fiber of its own, which the scope's end waits for. */
type Run<R> = <E>(self: Effect.Effect<Buffer, E, R>) => Fiber.RuntimeFiber<Buffer, E>

interface Bridge<R> {
  readonly traced: Run<R>
  readonly untraced: Run<R>
  readonly calls: FiberSet.FiberSet<Buffer, unknown>
  readonly credential: Context.Tag.Service<ServiceCredential>
  /** Whether one more call may run; each that may is given back by `leave`. */
  readonly enter: () => boolean
  readonly leave: () => void
  readonly running: () => number
}

const makeBridge = <R>(
  maxCalls: number,
): Effect.Effect<Bridge<R>, never, R | ServiceCredential | Scope.Scope> =>
  Effect.gen(function* () {
    const calls = yield* FiberSet.make<Buffer, unknown>()
    // A call has its caller's span as parent, or none: that in which the server was built is no ancestor of it.
    const capture = Effect.mapInputContext(
      FiberSet.runtime(calls)<R>(),
      (context: Context.Context<R>) =>
        Context.omit(Tracer.ParentSpan)(
          context as Context.Context<R | Tracer.ParentSpan>,
        ) as Context.Context<R>,
    )
    let running = 0
    return {
      traced: yield* capture,
      untraced: yield* Effect.withTracerEnabled(capture, false),
      calls,
      credential: yield* ServiceCredential,
      enter: () => {
        if (running >= maxCalls) return false
        running += 1
        return true
      },
      leave: () => {
        running -= 1
      },
      running: () => running,
    }
  })

interface Sender {
  readonly peer: string
  readonly caller: Caller | undefined
}

/** Who calls; undefined where that isn't proved. */
const senderOf = (
  credential: Context.Tag.Service<ServiceCredential>,
  metadata: Metadata,
): Sender | undefined => {
  const peer = credential.verifyAuthorization(first(metadata, authorizationKey))
  if (peer === undefined) return undefined
  const callerToken = first(metadata, callerKey)
  const caller = callerToken === undefined ? undefined : credential.verifyCaller(callerToken)
  return callerToken !== undefined && caller === undefined ? undefined : { peer, caller }
}

const logDefect =
  (name: string) =>
  (cause: Cause.Cause<FloodgateError>): Effect.Effect<void> =>
    Cause.isDie(cause) ? Effect.logError(`${name} failed by a defect`, cause) : Effect.void

const unary = <R>(
  bridge: Bridge<R>,
  desc: DescMethod,
  handler: Handler<R>,
): handleUnaryCall<Buffer, Buffer> => {
  const name = `${desc.parent.typeName}/${desc.name}`
  const readOnly = desc.idempotency === Idempotency.NO_SIDE_EFFECTS
  const attributes = { "rpc.system": "grpc", "rpc.service": desc.parent.typeName, "rpc.method": desc.name }
  const count = GrpcMetrics.serverMethod(desc.parent.typeName, desc.name)

  return (call, answerWith) => {
    const startedAt = performance.now()
    const respond: sendUnaryData<Buffer> = (error, value, ...rest) => {
      count(error?.code ?? status.OK, startedAt)
      answerWith(error, value, ...rest)
    }
    const sender = senderOf(bridge.credential, call.metadata)
    if (sender === undefined) return respond(refused)
    const { peer, caller } = sender

    if (!bridge.enter()) return respond(overloaded)
    let request: Message
    try {
      request = fromBinary(desc.input, call.request)
    } catch {
      bridge.leave()
      return respond(malformed)
    }

    const sent = call.getDeadline()
    const sentMs = typeof sent === "number" ? sent : sent.getTime()
    const hasDeadline = Number.isFinite(sentMs)
    const deadlineMs = hasDeadline ? sentMs : Date.now() + defaultDeadlineMs

    let answer = Effect.suspend(() => handler(request as never, { caller, peer, deadlineMs })).pipe(
      Effect.map((message) => bufferOf(toBinary(desc.output, create(desc.output, message as Message)))),
      Effect.tapErrorCause(logDefect(name)),
    )
    // A deadline that was sent is kept by grpc-js, which answers the caller and reports the call as cancelled.
    if (readOnly && !hasDeadline) {
      answer = Effect.timeoutFail(answer, { duration: defaultDeadlineMs, onTimeout: () => new Busy({}) })
    }
    // A call without a sampled trace context was found not worth a trace where it began, so it has no spans here; its
    // trace id still stands in the log and in the audit trail.
    const traceparent = first(call.metadata, "traceparent")
    const traced = TraceContext.parse(traceparent)?.sampled === true
    if (traced)
      answer = Effect.withSpan(answer, name, { kind: "server", captureStackTrace: false, attributes })
    answer = TraceContext.withParent(traceparent)(answer)
    if (caller !== undefined) answer = Effect.annotateLogs(answer, "user_id", caller.user_id)
    answer = Effect.provideService(answer, CallDeadline, deadlineMs)

    const fiber = (traced ? bridge.traced : bridge.untraced)(answer)
    fiber.addObserver((exit) => {
      bridge.leave()
      // Its deadline has passed, or its caller has left; which, only the caller knows.
      if (call.cancelled) count(status.CANCELLED, startedAt)
      else if (Exit.isSuccess(exit)) respond(null, exit.value)
      else respond(GrpcStatus.fromCause(exit.cause))
    })
    if (readOnly) {
      // Every call ends with this event, one that succeeded too.
      call.on("cancelled", () => {
        if (fiber.unsafePoll() === null) fiber.unsafeInterruptAsFork(FiberId.none)
      })
    }
  }
}

/** Writes one message, and waits while what was written before is unread. Busy after `maxStallMs` of that. */
const write = (
  call: ServerWritableStream<Buffer, Buffer>,
  bytes: Buffer,
  maxStallMs: number,
): Effect.Effect<void, Busy> =>
  Effect.suspend(() =>
    call.write(bytes)
      ? Effect.void
      : Effect.async<void>((resume) => {
          const drained = (): void => resume(Effect.void)
          call.once("drain", drained)
          return Effect.sync(() => call.off("drain", drained))
        }).pipe(Effect.timeoutFail({ duration: maxStallMs, onTimeout: () => new Busy({}) })),
  )

/** The handlers of methods that answer with a stream, and the end of all that are open. */
const makeStreams = <R>(
  bridge: Bridge<R>,
  options: { readonly maxStreams: number; readonly maxStallMs: number },
): Effect.Effect<
  {
    readonly handle: (
      desc: DescMethod,
      handler: StreamHandler<R>,
    ) => handleServerStreamingCall<Buffer, Buffer>
    readonly end: Effect.Effect<void>
  },
  never,
  R | Scope.Scope
> =>
  Effect.gen(function* () {
    const fibers = yield* FiberSet.make<void, FloodgateError>()
    const capture = Effect.mapInputContext(
      FiberSet.runtime(fibers)<R>(),
      (context: Context.Context<R>) =>
        Context.omit(Tracer.ParentSpan)(
          context as Context.Context<R | Tracer.ParentSpan>,
        ) as Context.Context<R>,
    )
    // A span that lasts as long as its listener does tells nothing.
    const fork = yield* Effect.withTracerEnabled(capture, false)
    let open = 0
    let ending = false

    const handle =
      (desc: DescMethod, handler: StreamHandler<R>): handleServerStreamingCall<Buffer, Buffer> =>
      (call) => {
        const refuse = (answer: GrpcStatus.WireStatus): void => {
          call.emit("error", answer)
        }
        const sender = senderOf(bridge.credential, call.metadata)
        if (sender === undefined) return refuse(refused)
        if (ending) return refuse(draining)
        if (open >= options.maxStreams) return refuse(overloaded)
        let request: Message
        try {
          request = fromBinary(desc.input, call.request)
        } catch {
          return refuse(malformed)
        }
        open += 1
        let answers = Stream.runForEach(
          Stream.suspend(() =>
            handler(request as never, { ...sender, deadlineMs: Number.POSITIVE_INFINITY }),
          ),
          (message) =>
            write(
              call,
              bufferOf(toBinary(desc.output, create(desc.output, message as Message))),
              options.maxStallMs,
            ),
        ).pipe(Effect.tapErrorCause(logDefect(`${desc.parent.typeName}/${desc.name}`)))
        if (sender.caller !== undefined) {
          answers = Effect.annotateLogs(answers, "user_id", sender.caller.user_id)
        }
        const fiber = fork(answers)
        fiber.addObserver((exit) => {
          open -= 1
          if (call.cancelled) return
          if (Exit.isSuccess(exit)) call.end()
          else
            refuse(
              ending && Cause.isInterruptedOnly(exit.cause) ? draining : GrpcStatus.fromCause(exit.cause),
            )
        })
        call.on("cancelled", () => {
          if (fiber.unsafePoll() === null) fiber.unsafeInterruptAsFork(FiberId.none)
        })
      }

    const end = Effect.suspend(() => {
      ending = true
      return Effect.asVoid(Fiber.interruptAll([...fibers]).pipe(atMost(interruptMs)))
    })
    return { handle, end }
  })

/** Health's handlers, the loop that tells watches of changes, and the end of the watches. */
const makeHealth = <R>(bridge: Bridge<R>, services: ReadonlySet<string>) =>
  Effect.gen(function* () {
    const readiness = yield* Readiness
    const watches = new Map<ServerWritableStream<Buffer, Buffer>, ServingStatus>()

    const serviceOf = (bytes: Buffer): string | undefined => {
      try {
        const { service } = fromBinary(HealthCheckRequestSchema, bytes)
        return service === "" || services.has(service) ? service : undefined
      } catch {
        return undefined
      }
    }
    const tell = (watch: ServerWritableStream<Buffer, Buffer>, next: ServingStatus): void => {
      if (!watches.has(watch) || watches.get(watch) === next) return
      watches.set(watch, next)
      watch.write(Health.encode(next))
    }

    const tellAll = Effect.map(Health.current(readiness), (now) => {
      for (const [watch, last] of watches) {
        if (last !== ServingStatus.SERVICE_UNKNOWN) tell(watch, now)
      }
      return now
    })

    const handlers = {
      check: (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void => {
        if (serviceOf(call.request) === undefined) {
          respond({ code: status.NOT_FOUND, details: "unknown service" })
          return
        }
        bridge.untraced(Effect.map(Health.current(readiness), Health.encode)).addObserver((exit) => {
          if (call.cancelled) return
          if (Exit.isSuccess(exit)) respond(null, exit.value)
          else respond(GrpcStatus.fromCause(exit.cause))
        })
      },
      watch: (call: ServerWritableStream<Buffer, Buffer>): void => {
        if (watches.size >= maxWatches) {
          call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many watches" })
          return
        }
        call.on("cancelled", () => watches.delete(call))
        watches.set(call, ServingStatus.UNKNOWN)
        // A service that isn't here may come with a later version of this process only, so its watch stays at that.
        if (serviceOf(call.request) === undefined) tell(call, ServingStatus.SERVICE_UNKNOWN)
        else bridge.untraced(Effect.map(tellAll, Health.encode))
      },
    }

    yield* tellAll.pipe(
      Effect.when(() => watches.size > 0),
      Effect.repeat(Schedule.spaced(Health.watchIntervalMs)),
      Effect.forkScoped,
    )

    const end = Effect.sync(() => {
      for (const watch of watches.keys()) {
        tell(watch, ServingStatus.NOT_SERVING)
        watch.end()
      }
      watches.clear()
    })
    return { handlers, end }
  })

/** Waits for an effect for so long and no longer, wherever it is run: finalizers can't be interrupted otherwise. */
const atMost =
  (ms: number) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Option.Option<A>, E, R> =>
    self.pipe(Effect.disconnect, Effect.interruptible, Effect.timeoutOption(ms))

const bind = (server: Server, host: string, port: number): Effect.Effect<number, GrpcBindFailed> =>
  Effect.async((resume) => {
    const address = `${host.includes(":") ? `[${host}]` : host}:${port}`
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      resume(
        error === null
          ? Effect.succeed(bound)
          : Effect.fail(new GrpcBindFailed({ host, port, reason: error.message })),
      ),
    )
  })

/** What the services' handlers need, all together. */
export type RequirementsOfAll<S extends ReadonlyArray<GrpcService<any>>> = [S[number]] extends [never]
  ? never
  : S[number] extends GrpcService<infer R>
    ? R
    : never

/**
 * Binds, serves, and says on which port (for port 0). When the scope closes, the server takes no more calls, those in
 * flight have `drainMs` to end, then they are interrupted.
 */
export const make = <const S extends ReadonlyArray<GrpcService<any>>>(
  options: GrpcServerOptions<S>,
): Effect.Effect<
  { readonly port: number },
  AppConfig.ConfigInvalid | GrpcBindFailed,
  RequirementsOfAll<S> | Readiness | ServiceCredential | Scope.Scope
> =>
  Effect.gen(function* () {
    const {
      maxConcurrentCalls = 1_024,
      maxStreams = 256,
      maxStallMs = 30_000,
      drainMs = 5_000,
      services,
    } = options
    const { host, port } = yield* AppConfig.load(
      Config.all({ host: options.host ?? AppConfig.bindHost, port: options.port }),
    )
    const bridge = yield* makeBridge<RequirementsOfAll<S>>(maxConcurrentCalls)
    const streams = yield* makeStreams(bridge, { maxStreams, maxStallMs })
    for (const { service } of services) GrpcMetrics.declare(service)
    yield* GrpcMetrics.observeInFlight(bridge.running)
    const health = yield* makeHealth(bridge, new Set(services.map(({ service }) => service.typeName)))

    const server = new Server({
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": maxMessageBytes,
      // Above our own bound, so that one call too many is answered rather than left waiting in its client.
      "grpc.max_concurrent_streams": (maxConcurrentCalls + maxStreams) * 2,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 5_000,
      "grpc.enable_channelz": 0,
    })
    server.addService(definitionOf(HealthService), health.handlers)
    for (const { service, handlers } of services) {
      server.addService(
        definitionOf(service),
        Object.fromEntries(
          service.methods.flatMap((desc): ReadonlyArray<readonly [string, UntypedHandleCall]> => {
            const handler = handlers[desc.localName]
            switch (desc.methodKind) {
              case "unary":
                return [[desc.localName, unary(bridge, desc, handler as Handler<RequirementsOfAll<S>>)]]
              case "server_streaming":
                return [
                  [desc.localName, streams.handle(desc, handler as StreamHandler<RequirementsOfAll<S>>)],
                ]
              default:
                return []
            }
          }),
        ),
      )
    }

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* Effect.all([health.end, streams.end], { concurrency: "unbounded" })
        const stopped = Effect.async<void>((resume) => server.tryShutdown(() => resume(Effect.void)))
        // A write goes on after its caller has left, so closed connections don't mean that all is done.
        const done = yield* Effect.zip(stopped, FiberSet.awaitEmpty(bridge.calls), { concurrent: true }).pipe(
          atMost(drainMs),
        )
        if (Option.isNone(done)) {
          yield* Effect.logWarning(`gRPC calls still in flight after ${drainMs} ms are interrupted`)
          yield* Fiber.interruptAll([...bridge.calls]).pipe(atMost(interruptMs))
        }
        server.forceShutdown()
      }),
    )
    const bound = yield* bind(server, host, port)
    yield* Effect.logInfo(`gRPC listens on ${host}:${bound}`)
    return { port: bound }
  })

/** The server as a layer. Fails when a key is missing or the address is taken. */
export const layer = <const S extends ReadonlyArray<GrpcService<any>>>(
  options: GrpcServerOptions<S>,
): Layer.Layer<
  never,
  AppConfig.ConfigInvalid | GrpcBindFailed,
  RequirementsOfAll<S> | Readiness | ServiceCredential
> => Layer.scopedDiscard(make(options))
