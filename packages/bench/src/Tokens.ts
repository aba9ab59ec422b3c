/** Access tokens as identity signs them, for buyers who needn't sign up first: with the stack's own key. */
import { createPrivateKey, createPublicKey, randomUUID, sign } from "node:crypto"
import { readFile, stat, writeFile } from "node:fs/promises"
import { promisify } from "node:util"

/** The asynchronous form signs in libuv's threads: every core takes part. */
const signature = promisify(
  (
    text: string,
    key: ReturnType<typeof createPrivateKey>,
    done: (error: Error | null, value: Buffer) => void,
  ) => sign("RSA-SHA256", Buffer.from(text, "latin1"), key, done),
)

/** A benchmark takes longer than the 15 minutes of a real token. Nothing looks at the lifetime but its end. */
const LIFETIME_S = 6 * 3_600
/** Ids that no account of the stack has. */
export const FIRST_USER = 10_000_000
const AT_ONCE = 64
/** Tokens of an earlier run on the same stack are taken up to this age: their end must be beyond this run's. */
const KEPT_MS = (LIFETIME_S / 2) * 1_000

const segment = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

export interface Minted {
  /** One token a line, buyer by buyer. */
  readonly file: string
  /** PEM. */
  readonly publicKey: string
}

/** Whether a file has tokens enough, young enough. */
const kept = async (file: string, count: number): Promise<boolean> => {
  try {
    if (Date.now() - (await stat(file)).mtimeMs > KEPT_MS) return false
    return (await readFile(file, "latin1")).split("\n").length >= count
  } catch {
    return false
  }
}

/** Signs `count` tokens into `file` with the newest key of a stack's `jwt-keys.json`. */
export const mint = async (
  keysFile: string,
  file: string,
  count: number,
  progress: (done: number) => void,
): Promise<Minted> => {
  const { keys } = JSON.parse(await readFile(keysFile, "utf8")) as {
    keys: ReadonlyArray<{ kid: string; private_jwk: Record<string, string> }>
  }
  const { kid, private_jwk } = keys.at(-1)!
  const key = createPrivateKey({ key: private_jwk as never, format: "jwk" })
  const publicKey = createPublicKey(key as never).export({ type: "spki", format: "pem" }) as string
  if (await kept(file, count)) return { file, publicKey }
  const header = segment({ alg: "RS256", kid, typ: "at+jwt" })
  const nowMs = Date.now()
  const nowS = Math.floor(nowMs / 1_000)
  const tokens = new Array<string>(count)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const i = next++
      const claims = segment({
        username: `buyer_${i}`,
        roles: ["customer"],
        iat_ms: nowMs,
        iss: "floodgate",
        aud: "floodgate-edge",
        sub: String(FIRST_USER + i),
        iat: nowS,
        nbf: nowS,
        exp: nowS + LIFETIME_S,
        jti: randomUUID(),
      })
      const text = `${header}.${claims}`
      tokens[i] = `${text}.${(await signature(text, key)).toString("base64url")}`
      if ((i + 1) % 10_000 === 0) progress(i + 1)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  await writeFile(file, tokens.join("\n"))
  return { file, publicKey }
}
