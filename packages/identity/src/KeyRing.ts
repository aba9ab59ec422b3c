/**
 * The signing keys of all instances together. They live in the database, sealed; `JWT_KEYS_FILE` holds those that a new
 * installation starts with. What signs and what is published follows from `domain/KeyRing.ts` and the database's clock.
 */
import { createPrivateKey, generateKeyPair, randomUUID } from "node:crypto"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { importJWK } from "jose/key/import"
import * as Ring from "./domain/KeyRing.ts"
import * as SealedKeys from "./SealedKeys.ts"
import { type KeyRotation, KeyStore, type NewKey, type StoredKey } from "./store/KeyStore.ts"

const FILE = "JWT_KEYS_FILE"

/** A private RSA key as a JSON Web Key (RFC 7518, §6.3); at least 2048 bits, that is 342 characters of base64url. */
const PrivateJwk = Schema.Struct({
  kty: Schema.Literal("RSA"),
  n: Schema.String.pipe(Schema.minLength(342)),
  e: Schema.String,
  d: Schema.String,
  p: Schema.String,
  q: Schema.String,
  dp: Schema.String,
  dq: Schema.String,
  qi: Schema.String,
})
type PrivateJwk = typeof PrivateJwk.Type

const KeyFile = Schema.Struct({
  keys: Schema.NonEmptyArray(
    Schema.Struct({
      kid: Schema.NonEmptyString.pipe(Schema.pattern(/^[\x21-\x7e]{1,64}$/)),
      created_at: Schema.String.pipe(Schema.filter((text) => !Number.isNaN(Date.parse(text)))),
      private_jwk: PrivateJwk,
    }),
  ),
})

type FileKey = (typeof KeyFile.Type)["keys"][number]

const decodeKeyFile = Schema.decodeUnknownOption(KeyFile)
const decodePrivateJwk = Schema.decodeUnknownOption(PrivateJwk)

/** The content of `JWT_KEYS_FILE`, oldest key first. What is wrong with it is never quoted: it holds private keys. */
export const fileKeys: Config.Config<ReadonlyArray<FileKey>> = AppConfig.secretJsonFile(FILE).pipe(
  Config.mapOrFail((json) =>
    Option.match(decodeKeyFile(json), {
      onNone: () =>
        Either.left(
          ConfigError.InvalidData(
            [FILE],
            'must be {"environment", "keys": [{"kid", "created_at", "private_jwk": an RSA key of 2048 bits or more}]}',
          ),
        ),
      onSome: (file) =>
        Either.right(
          [...file.keys].sort(
            (a, b) => Date.parse(a.created_at) - Date.parse(b.created_at),
          ) as ReadonlyArray<FileKey>,
        ),
    }),
  ),
)

/** What the process needs to be told. */
export const config = Config.all({ fileKeys, secrets: SealedKeys.config })

type Key = Awaited<ReturnType<typeof importJWK>>

export interface Signer {
  readonly kid: string
  readonly key: Key
}

export class KeyRing extends Context.Tag("@floodgate/identity/KeyRing")<
  KeyRing,
  {
    /** The key that signs at this time of the database's clock (Unix ms). Asks the database only where it must. */
    readonly signer: (nowMs: number) => Effect.Effect<Signer, MysqlError>
    /** The JSON Web Key Set with the public keys (RFC 7517). While the database is away, as it was last known. */
    readonly jwks: Effect.Effect<string, MysqlError>
    /** Makes a new key, as `KeyStore.rotate` says. */
    readonly rotate: (rotation: KeyRotation) => Effect.Effect<StoredKey, MysqlError>
    /** Removes keys that verify nothing any more. Answers how many. */
    readonly sweep: Effect.Effect<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<KeyRing, AppConfig.ConfigInvalid | MysqlError, KeyStore> = Layer.effect(
    KeyRing,
    Effect.suspend(() => make(Ring.OVERLAP)),
  )
}

const publicPart = (kid: string, { kty, n, e }: Pick<PrivateJwk, "kty" | "n" | "e">): string =>
  JSON.stringify({ kty, n, e, kid, alg: "RS256", use: "sig" })

const newPrivateJwk = Effect.promise(
  () =>
    new Promise<PrivateJwk>((resolve, reject) => {
      // By way of PEM: in Node 20 exporting the generated key object itself as JWK can deadlock with garbage collection.
      const pem = {
        modulusLength: 2048,
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
      } as const
      generateKeyPair("rsa", pem, (error, _, privateKey) => {
        if (error === null) resolve(createPrivateKey(privateKey).export({ format: "jwk" }) as PrivateJwk)
        else reject(error)
      })
    }),
)

interface Loaded {
  readonly keys: ReadonlyArray<StoredKey>
  /** Of our own clock, ms; only its passing counts. */
  readonly atMs: number
  readonly jwks: string
}

/** The service with another overlap. */
export const make = (overlap: Ring.Overlap) =>
  Effect.gen(function* () {
    const store = yield* KeyStore
    const loadedConfig = yield* AppConfig.load(config)
    const sealed = SealedKeys.make(loadedConfig.secrets)
    const seal = (kid: string, privateJwk: PrivateJwk): NewKey => ({
      kid,
      publicJwk: publicPart(kid, privateJwk),
      sealed: sealed.seal(kid, privateJwk),
    })

    // Imported keys, by id: a key never changes.
    const opened = new Map<string, Key>()
    const open = (stored: StoredKey): Effect.Effect<Key, AppConfig.ConfigInvalid> =>
      Effect.suspend(() => {
        const known = opened.get(stored.kid)
        if (known !== undefined) return Effect.succeed(known)
        const invalid = new AppConfig.ConfigInvalid({
          issues: [
            `KEY_ENCRYPTION_KEY: no secret of it opens signing key ${stored.kid}; the former one belongs behind the new one`,
          ],
        })
        const jwk = Option.flatMap(
          Option.fromNullable(sealed.open(stored.kid, stored.sealed)),
          decodePrivateJwk,
        )
        if (Option.isNone(jwk)) return invalid
        return Effect.tryPromise({
          try: () => importJWK({ ...jwk.value }, "RS256"),
          catch: () => invalid,
        }).pipe(Effect.tap((key) => Effect.sync(() => opened.set(stored.kid, key))))
      })

    let current: Loaded | undefined
    const load: Effect.Effect<Loaded, MysqlError> = Effect.gen(function* () {
      const atMs = yield* Clock.currentTimeMillis
      const { keys, nowMs } = yield* store.load
      const parts = Ring.published(keys, nowMs, overlap.keepMs).map(({ publicJwk }) => publicJwk)
      current = { keys, atMs, jwks: `{"keys":[${parts.join(",")}]}` }
      for (const kid of opened.keys()) if (!keys.some((key) => key.kid === kid)) opened.delete(kid)
      return current
    })

    yield* store.begin(
      loadedConfig.fileKeys.map(({ kid, created_at, private_jwk }, at) => {
        const createdAtMs = Date.parse(created_at)
        return {
          ...seal(kid, private_jwk),
          createdAtMs,
          // Nobody knows an older key than the first, so that one needn't wait.
          signsFromMs: createdAtMs + (at === 0 ? 0 : overlap.aheadMs) + at,
        }
      }),
    )
    // A secret that doesn't fit stops the start, not the first login.
    const atStart = yield* load
    const { nowMs } = yield* store.load
    const signing = Ring.signer(atStart.keys, nowMs)
    for (const stored of atStart.keys) {
      if (signing !== undefined && stored.signsFromMs >= signing.signsFromMs) yield* open(stored)
    }

    return KeyRing.of({
      signer: Effect.fn("KeyRing.signer")(function* (atMs) {
        // A key is stored `aheadMs` before it signs: what was loaded half that time ago still knows the next signer.
        const known = current
        const ageMs = (yield* Clock.currentTimeMillis) - (known?.atMs ?? 0)
        const ring = known === undefined || ageMs < 0 || ageMs > overlap.aheadMs / 2 ? yield* load : known
        const stored = Ring.signer(ring.keys, atMs)
        if (stored === undefined) return yield* Effect.dieMessage("there is no signing key")
        return { kid: stored.kid, key: yield* Effect.orDie(open(stored)) }
      }),

      jwks: load.pipe(
        Effect.catchAll((error) => (current === undefined ? Effect.fail(error) : Effect.succeed(current))),
        Effect.map(({ jwks }) => jwks),
        Effect.withSpan("KeyRing.jwks"),
      ),

      rotate: Effect.fn("KeyRing.rotate")(function* (rotation) {
        const ring = yield* store.load
        const there = Ring.waiting(ring.keys, ring.nowMs)
        if (there !== undefined) return there
        const key = seal(randomUUID(), yield* newPrivateJwk)
        return yield* store.rotate(key, overlap.aheadMs, rotation)
      }),

      sweep: Effect.flatMap(store.load, ({ keys, nowMs: at }) =>
        store.remove(Ring.outlived(keys, at, overlap.keepMs).map(({ kid }) => kid)),
      ).pipe(Effect.withSpan("KeyRing.sweep")),
    })
  })
