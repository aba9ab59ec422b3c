/** The ledger kept in an append-only file, one JSON entry a line; read back at start. */
import { createReadStream } from "node:fs"
import { mkdir, open } from "node:fs/promises"
import { dirname } from "node:path"
import { createInterface } from "node:readline"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { apply, type Entry, type ProviderPayment } from "./Ledger.ts"

export class Journal extends Context.Tag("@floodgate/payment/sandbox/Journal")<
  Journal,
  {
    readonly get: (paymentId: string) => ProviderPayment | undefined
    /** Writes the entry through to the disk before it counts; true where it changed the books. */
    readonly post: (entry: Entry) => Effect.Effect<boolean>
  }
>() {
  static readonly layer = (path: string) =>
    Layer.scoped(
      Journal,
      Effect.gen(function* () {
        yield* Effect.promise(() => mkdir(dirname(path), { recursive: true }))
        const file = yield* Effect.acquireRelease(
          Effect.promise(() => open(path, "a+")),
          (handle) => Effect.promise(() => handle.close()),
        )
        const ledger = new Map<string, ProviderPayment>()
        const change = (entry: Entry) => {
          const before = ledger.get(entry.payment_id)
          const after = apply(before, entry)
          return after === undefined || after === before ? undefined : after
        }
        yield* Effect.promise(async () => {
          for await (const line of createInterface({ input: createReadStream(path) })) {
            // A line cut short by a crash was never answered for.
            const entry = parse(line)
            const after = entry && change(entry)
            if (after !== undefined) ledger.set(after.payment_id, after)
          }
        })
        const lock = yield* Effect.makeSemaphore(1)
        return {
          get: (paymentId) => ledger.get(paymentId),
          post: (entry) =>
            Effect.gen(function* () {
              const after = change(entry)
              if (after === undefined) return false
              yield* Effect.promise(async () => {
                await file.appendFile(`${JSON.stringify(entry)}\n`)
                await file.datasync()
              })
              ledger.set(after.payment_id, after)
              return true
            }).pipe(Effect.uninterruptible, lock.withPermits(1)),
        }
      }),
    )
}

const parse = (line: string): Entry | undefined => {
  try {
    return JSON.parse(line) as Entry
  } catch {
    return undefined
  }
}
