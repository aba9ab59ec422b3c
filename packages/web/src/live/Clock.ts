/** Time as the edge tells it: a countdown that goes by this machine's clock would open for some and not for others. */
import { useCallback, useSyncExternalStore } from "react"
import { client } from "../session/Session.ts"

/** How often a countdown looks (ms): an opening is noticed that late at most. */
const TICK_MS = 100

const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener)
  timer ??= setInterval(() => {
    for (const each of listeners) each()
  }, TICK_MS)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** The edge's clock (Unix ms), by its last answer. */
export const serverNow = (): number => Date.now() + client.serverOffsetMs()

/** Whole seconds until an instant, 0 once it has passed; renders anew each second. Undefined without an instant. */
export const useSecondsUntil = (instant: string | null): number | undefined => {
  const at = instant === null ? undefined : Date.parse(instant)
  const look = useCallback(
    () => (at === undefined ? undefined : Math.max(0, Math.ceil((at - serverNow()) / 1000))),
    [at],
  )
  return useSyncExternalStore(subscribe, look)
}
