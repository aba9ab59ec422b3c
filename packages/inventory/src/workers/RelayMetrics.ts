/** What inventory shows of its shards' streams. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Shards from "@floodgate/runtime/redis/Shards"

const produced = Instrument.counter(
  "floodgate_relay_produced_total",
  "Entries handed to the bus: for the first time, or again because no outcome came",
  { reason: ["new", "again"] },
)
export const producedNew = produced.at({ reason: "new" })
export const producedAgain = produced.at({ reason: "again" })

export const deleted = Instrument.counter(
  "floodgate_relay_deleted_total",
  "Entries that left a stream because their outcome is in MySQL",
  {},
).at({})

const openEntries = Instrument.gauge(
  "floodgate_relay_open_entries",
  "Entries in all shards' streams, as last looked at; every process sees the same",
  {},
)
const oldest = Instrument.gauge(
  "floodgate_relay_oldest_entry_seconds",
  "Age of the oldest entry without an outcome, of the shards that this process relays",
  {},
)
const held = Instrument.gauge("floodgate_relay_shards_held", "Shards that this process relays", {})

/** Since when (ms, by this process's clock) a shard's oldest entry has been waiting; 0 where none is. */
const waitingSince = new Float64Array(Shards.SHARDS)

/** All streams were looked at. */
export const looked = (entries: number): void => openEntries.set({}, entries)

/** The oldest entry of a shard that has no outcome is so old (ms); 0 where all have one. */
export const oldestOf = (shard: number, ageMs: number): void => {
  waitingSince[shard] = ageMs <= 0 ? 0 : performance.now() - ageMs
}

/** Shows them, until the scope closes. */
export const observe = (shardsHeld: () => number) =>
  Instrument.observing(() => {
    held.set({}, shardsHeld())
    const now = performance.now()
    let most = 0
    for (const since of waitingSince) if (since !== 0) most = Math.max(most, now - since)
    oldest.set({}, most / 1_000)
  })
