/** What the edge shows of the waiting rooms. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import type { Place } from "./QueueStore.ts"

const answers = Instrument.counter(
  "floodgate_waiting_room_answers_total",
  "What people in or before a waiting room were told",
  { place: ["absent", "waiting", "admitted", "full"] },
)
const words = { Absent: "absent", Waiting: "waiting", Admitted: "admitted", Full: "full" } as const

const waiting = Instrument.gauge(
  "floodgate_waiting_room_waiting",
  "The most people waiting in one room, as far as those who asked here within a minute were told",
  {},
)

/** How long what was told counts (ms). */
const LIFE_MS = 60_000
/** Rooms that are remembered. */
const MAX_ROOMS = 1_000

const rooms = new Map<number, { readonly most: number; readonly atMs: number }>()

/** Counts what somebody was told about a product's room. */
export const told = (productId: number, place: Place): void => {
  answers.inc({ place: words[place._tag] })
  const seen = place._tag === "Waiting" ? place.ahead + 1 : place._tag === "Absent" ? place.waiting : 0
  const now = performance.now()
  const before = rooms.get(productId)
  // The last in line sees all of it; a shorter answer says nothing until the longest is old.
  if (before !== undefined && before.most > seen && now - before.atMs < LIFE_MS / 10) return
  rooms.delete(productId)
  if (rooms.size >= MAX_ROOMS) rooms.delete(rooms.keys().next().value!)
  rooms.set(productId, { most: seen, atMs: now })
}

/** Shows the longest line, until the scope closes. */
export const observe = Instrument.observing(() => {
  const now = performance.now()
  let most = 0
  for (const [productId, room] of rooms) {
    if (now - room.atMs > LIFE_MS) rooms.delete(productId)
    else most = Math.max(most, room.most)
  }
  waiting.set({}, most)
})
