/**
 * The one shape of every JSON answer: `{code, msg, data}`. A success is made by {@link Envelope}, a failure by
 * {@link Failure}, so that OpenAPI documents and typed clients see exactly what travels.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { catalogue, type Reason } from "../errors/Catalogue.ts"
import { dataOf, errorClasses, fromWire } from "../errors/Errors.ts"

/** What a success looks like on the wire. */
export interface SuccessBody<I> {
  readonly code: 0
  readonly msg: string
  readonly data: I
}

/** What a failure looks like on the wire. */
export interface FailureBody {
  readonly code: number
  readonly msg: string
  readonly data: unknown
}

/**
 * A success whose `data` follows the schema, answered with the status (200 unless said). Data that breaks its own
 * schema is a defect of ours: encoding dies, so it can never be mistaken for a bad request.
 */
export const Envelope = <A, I>(
  data: Schema.Schema<A, I>,
  options?: { readonly status?: number },
): Schema.Schema<A, SuccessBody<I>> => {
  const encode = ParseResult.encodeUnknownEither(data)
  const decode = ParseResult.decodeUnknown(data)
  return Schema.transformOrFail(
    Schema.Struct({ code: Schema.Literal(0), msg: Schema.String, data: Schema.encodedBoundSchema(data) }),
    Schema.declare((_u: unknown): _u is A => true),
    {
      strict: false,
      decode: (body: SuccessBody<unknown>) => decode(body.data),
      encode: (value: A) => {
        const encoded = encode(value)
        return encoded._tag === "Right"
          ? ParseResult.succeed({ code: 0, msg: "ok", data: encoded.right })
          : Effect.die(new Error(`An answer breaks its schema: ${encoded.left._tag}`))
      },
    },
  ).annotations(HttpApiSchema.annotations({ status: options?.status ?? 200 })) as never
}

/** Any error of the catalogue, by its reason. */
export type FailureOf<R extends Reason> = InstanceType<(typeof errorClasses)[R]>

/** The catalogue's error as it travels: its code, words, and fields as `data` (null where it has none). */
export const Failure = <R extends Reason>(reason: R): Schema.Schema<FailureOf<R>, FailureBody> => {
  const row = catalogue[reason]
  const cls = errorClasses[reason] as unknown as Schema.Schema<any> & {
    readonly fields: Record<string, Schema.Schema.All>
  }
  const { _tag, ...fields } = cls.fields
  const data: Schema.Schema<any> =
    Object.keys(fields).length === 0 ? Schema.Null : (Schema.Struct(fields as Schema.Struct.Fields) as never)
  return Schema.transformOrFail(
    Schema.Struct({ code: Schema.Literal(row.code), msg: Schema.String, data: Schema.encodedSchema(data) }),
    Schema.typeSchema(cls),
    {
      strict: false,
      decode: (body: FailureBody, _options, ast) => {
        const error = fromWire(reason, body.data)
        return error === undefined
          ? ParseResult.fail(new ParseResult.Type(ast, body))
          : ParseResult.succeed(error)
      },
      encode: (error: any) => ParseResult.succeed({ code: row.code, msg: row.en, data: dataOf(error) }),
    },
  ).annotations({
    ...HttpApiSchema.annotations({ status: row.http }),
    description: row.en,
  }) as never
}
