/** Ties a generated service descriptor to the typed errors that each of its methods can answer with. */
import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import type { FloodgateError } from "../errors/Errors.ts"

/** Constructors of the errors that a method declares. Every method may also fail with what the transport adds: Busy, Internal, Unauthenticated, InvalidInput. */
export type ErrorCtor = abstract new (...args: any) => FloodgateError

export interface RpcDefinition<
  S extends DescService,
  E extends Record<keyof S["method"], ReadonlyArray<ErrorCtor>>,
> {
  readonly service: S
  readonly errors: E
}

export type AnyRpcDefinition = RpcDefinition<any, any>

/** The names of a definition's methods that take one message and answer one. */
export type UnaryMethod<D extends AnyRpcDefinition> = {
  [K in keyof D["service"]["method"]]: D["service"]["method"][K] extends { readonly methodKind: "unary" }
    ? K
    : never
}[keyof D["service"]["method"]]

/** The names of a definition's methods that take one message and answer many. */
export type StreamMethod<D extends AnyRpcDefinition> = {
  [K in keyof D["service"]["method"]]: D["service"]["method"][K] extends {
    readonly methodKind: "server_streaming"
  }
    ? K
    : never
}[keyof D["service"]["method"]]

export const defineRpc = <
  S extends DescService,
  const E extends Record<keyof S["method"], ReadonlyArray<ErrorCtor>>,
>(
  service: S,
  errors: E,
): RpcDefinition<S, E> => ({ service, errors })

/** The request message a method takes, as handlers see it. */
export type RequestOf<M extends DescMethod> = MessageShape<M["input"]>
/** What a caller may pass: a partial literal. */
export type RequestInit<M extends DescMethod> = MessageInitShape<M["input"]>
export type ResponseOf<M extends DescMethod> = MessageShape<M["output"]>
export type ResponseInit<M extends DescMethod> = MessageInitShape<M["output"]>
export type Message = DescMessage
