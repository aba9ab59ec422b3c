/** The challenge of the contract: asked for, solved in a worker, and exchanged for a ticket. */
import { type Client, unwrap } from "@floodgate/client/Client"
import type { Work } from "./proof.ts"
import type { Said } from "./proof.worker.ts"

interface Challenge extends Work {
  readonly id: string
  readonly kind: string
  readonly expires_at: string
}

interface Ticket {
  readonly ticket: string
  readonly expires_at: string
}

/** Routes that an edge may not have yet, so the generated types may not either. */
type Post = (
  path: string,
  init: { readonly body: unknown; readonly params?: { readonly path: Readonly<Record<string, string>> } },
) => Promise<{
  readonly data?: { readonly code: 0; readonly data: never }
  readonly error?: unknown
  readonly response: Response
}>

const KIND = "pow-sha256"

/** The edge asks for a kind of challenge that this page can't solve. */
export class UnknownChallenge extends Error {
  override readonly name = "UnknownChallenge"
}

const solve = (work: Work, progress: (share: number) => void, signal: AbortSignal): Promise<string> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./proof.worker.ts", import.meta.url), { type: "module" })
    const end = () => {
      worker.terminate()
      signal.removeEventListener("abort", onAbort)
    }
    const onAbort = () => {
      end()
      reject(signal.reason)
    }
    signal.addEventListener("abort", onAbort)
    worker.onmessage = ({ data }: MessageEvent<Said>) => {
      if ("tried" in data) progress(data.tried / 2 ** work.bits)
      else {
        end()
        resolve(data.solution)
      }
    }
    worker.onerror = () => {
      end()
      reject(new UnknownChallenge("The worker can't run"))
    }
    worker.postMessage(work)
  })

/**
 * A ticket that proves the challenge; the proofs of `earlier` go over into it. `progress` gets the share of the tries
 * that it takes on average, which luck may exceed. Fails as calls do, with `UnknownChallenge`, or aborted.
 */
export const prove = async (
  client: Client,
  productId: number,
  earlier: string | undefined,
  progress: (share: number) => void,
  signal: AbortSignal,
): Promise<string> => {
  const post = client.http.POST as unknown as Post
  const challenge: Challenge = await unwrap(post("/challenge", { body: { product_id: productId } }))
  if (challenge.kind !== KIND) throw new UnknownChallenge(challenge.kind)
  const solution = await solve({ nonce: challenge.nonce, bits: challenge.bits }, progress, signal)
  const { ticket }: Ticket = await unwrap(
    post("/challenge/{id}", {
      params: { path: { id: challenge.id } },
      body: { solution, ...(earlier === undefined ? {} : { ticket: earlier }) },
    }),
  )
  return ticket
}
