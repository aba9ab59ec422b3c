/** Searches for a proof beside the page, so that the page stays alive; says how far it is now and then. */
import { search, type Work } from "./proof.ts"

export type Said = { readonly tried: number } | { readonly solution: string }

/** Some 20 ms of work. */
const BATCH = 10_000

addEventListener("message", ({ data }: MessageEvent<Work>) => {
  for (let tried = 0; ; tried += BATCH) {
    const solution = search(data, tried, BATCH)
    const said: Said = solution === undefined ? { tried: tried + BATCH } : { solution }
    postMessage(said)
    if (solution !== undefined) return
  }
})
