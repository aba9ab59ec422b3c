/** Asks until the answer is there: tests never sleep to wait. */
import { setTimeout as sleep } from "node:timers/promises"

const EVERY_MS = 50

/** The first answer that isn't false or undefined. Fails after `limitMs` with what was waited for. */
export const poll = async <A>(
  what: string,
  ask: () => Promise<A | undefined | false>,
  limitMs = 60_000,
): Promise<A> => {
  const end = Date.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${what}`)
    await sleep(EVERY_MS)
  }
}

/** Runs at most `width` of the jobs at a time; their results in order. */
export const inParallel = async <A, B>(
  width: number,
  items: ReadonlyArray<A>,
  job: (item: A, index: number) => Promise<B>,
): Promise<Array<B>> => {
  const results = new Array<B>(items.length)
  let at = 0
  const lane = async () => {
    while (at < items.length) {
      const index = at++
      results[index] = await job(items[index]!, index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane))
  return results
}
