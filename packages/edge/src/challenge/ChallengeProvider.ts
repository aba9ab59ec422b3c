/**
 * Who thinks up challenges and judges their solutions. Ours are proofs of work without any state: what is asked is signed
 * into the challenge's id, with the user, product and device that it is for. A captcha service takes this Tag's place with
 * a layer of its own; `kind` tells the client which it meets, and everything behind the ticket stays as it is.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import type { Busy } from "@floodgate/contracts/errors/Errors"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { keys } from "../ticket/Tickets.ts"
import * as ProofOfWork from "./ProofOfWork.ts"

/** How long there is to solve a challenge (ms). */
export const LIFE_MS = 120_000

export interface Candidate {
  readonly userId: number
  readonly productId: number
  /** The signed id of the device; undefined where it has none. */
  readonly deviceId: string | undefined
  /** From 0 up. */
  readonly suspicion: number
}

export interface Posed {
  readonly id: string
  readonly kind: string
  readonly nonce: string
  readonly bits: number
  readonly expiresMs: number
}

export interface Solver {
  readonly userId: number
  readonly deviceId: string | undefined
}

export type Judgement =
  /** `deviceId`: the device that the challenge was posed to; undefined where it had none. */
  | { readonly _tag: "Solved"; readonly productId: number; readonly deviceId: string | undefined }
  | { readonly _tag: "Wrong" }
  /** None of ours, posed to another user or device, or too late. */
  | { readonly _tag: "Unknown" }

export class ChallengeProvider extends Context.Tag("@floodgate/edge/challenge/ChallengeProvider")<
  ChallengeProvider,
  {
    /** The kind that `challenge required` (704) names. */
    readonly kind: string
    /** A challenge for a candidate. Busy where it can't be had now. */
    readonly pose: (candidate: Candidate, nowMs: number) => Effect.Effect<Posed, Busy>
    readonly judge: (
      id: string,
      solver: Solver,
      solution: string,
      nowMs: number,
    ) => Effect.Effect<Judgement, Busy>
  }
>() {}

interface Claims {
  readonly userId: number
  readonly productId: number
  readonly expiresMs: number
  readonly bits: number
  readonly nonce: string
  /** Of the device; all zeros for none. */
  readonly device: Buffer
}

/*
 * A challenge's id, in base64url, so short that it fits a path's segment: user and product (8 bytes each), end (6), bits
 * (1), nonce (12), hash of the device (8), and the first half of an HMAC-SHA256 over all that (16).
 */
const SIGNED_BYTES = 43
const MAC_BYTES = 16
const NO_DEVICE = Buffer.alloc(8)

const deviceHash = (deviceId: string | undefined): Buffer =>
  deviceId === undefined ? NO_DEVICE : createHash("sha256").update(deviceId).digest().subarray(0, 8)

const encode = ({ bits, device, expiresMs, nonce, productId, userId }: Claims): Buffer => {
  const bytes = Buffer.alloc(SIGNED_BYTES)
  bytes.writeBigUInt64BE(BigInt(userId), 0)
  bytes.writeBigUInt64BE(BigInt(productId), 8)
  bytes.writeUIntBE(expiresMs, 16, 6)
  bytes.writeUInt8(bits, 22)
  bytes.write(nonce, 23, "base64url")
  device.copy(bytes, 35)
  return bytes
}

const decode = (bytes: Buffer): Claims => ({
  userId: Number(bytes.readBigUInt64BE(0)),
  productId: Number(bytes.readBigUInt64BE(8)),
  expiresMs: bytes.readUIntBE(16, 6),
  bits: bytes.readUInt8(22),
  nonce: bytes.toString("base64url", 23, 35),
  device: bytes.subarray(35, SIGNED_BYTES),
})

/**
 * Proofs of work. The first key signs, all of them verify; at least one. A solution is good until its challenge expires,
 * so that a lost answer costs nobody their work: what it proves, it proves for one user, product and device only.
 */
export const make = (secrets: ReadonlyArray<string>, baseBits: number): ChallengeProvider["Type"] => {
  if (secrets.length === 0) throw new Error("challenges need a key")
  // Apart from whatever else these keys sign.
  const derived = secrets.map((key) => createHmac("sha256", key).update("challenge").digest())
  const mac = (key: Buffer, bytes: Uint8Array): Buffer =>
    createHmac("sha256", key).update(bytes).digest().subarray(0, MAC_BYTES)

  const open = (id: string): Claims | undefined => {
    const bytes = Buffer.from(id, "base64url")
    if (bytes.length !== SIGNED_BYTES + MAC_BYTES) return undefined
    const signed = bytes.subarray(0, SIGNED_BYTES)
    const given = bytes.subarray(SIGNED_BYTES)
    return derived.some((key) => timingSafeEqual(given, mac(key, signed))) ? decode(signed) : undefined
  }

  return {
    kind: ProofOfWork.KIND,
    pose: ({ deviceId, productId, suspicion, userId }, nowMs) =>
      Effect.sync(() => {
        const nonce = randomBytes(12).toString("base64url")
        const bits = ProofOfWork.bitsFor(baseBits, suspicion)
        const expiresMs = nowMs + LIFE_MS
        const signed = encode({ userId, productId, expiresMs, bits, nonce, device: deviceHash(deviceId) })
        const id = Buffer.concat([signed, mac(derived[0]!, signed)]).toString("base64url")
        return { id, kind: ProofOfWork.KIND, nonce, bits, expiresMs }
      }),
    judge: (id, { deviceId, userId }, solution, nowMs) =>
      Effect.sync((): Judgement => {
        const claims = open(id)
        if (claims === undefined || claims.userId !== userId || claims.expiresMs <= nowMs) {
          return { _tag: "Unknown" }
        }
        // Posed to a caller without a device, it fits one that they got since.
        const bound = !claims.device.equals(NO_DEVICE)
        if (bound && !claims.device.equals(deviceHash(deviceId))) return { _tag: "Unknown" }
        return ProofOfWork.isSolution(claims.nonce, claims.bits, solution)
          ? { _tag: "Solved", productId: claims.productId, deviceId: bound ? deviceId : undefined }
          : { _tag: "Wrong" }
      }),
  }
}

/** `CHALLENGE_BITS`: zero bits asked of somebody who isn't suspicious, 1 to 24. 16 take a phone a good second. */
export const bits: Config.Config<number> = Config.integer("CHALLENGE_BITS").pipe(
  Config.validate({
    message: `must be 1 to ${ProofOfWork.MAX_BITS}`,
    validation: (n) => n >= 1 && n <= ProofOfWork.MAX_BITS,
  }),
  Config.withDefault(16),
)

export const layer = Layer.effect(
  ChallengeProvider,
  Effect.map(AppConfig.load(Config.all([keys, bits])), ([secrets, base]) =>
    make(secrets.map(Redacted.value), base),
  ),
)
