/** What a process shows of its database: how long, how it fails, how full the pool is, which statements are slow. */
import * as Instrument from "../metrics/Instrument.ts"

/** Names of operations are the code's own; this many are shown apart. */
const MAX_OPS = 128

export const query = Instrument.histogram(
  "floodgate_mysql_query_seconds",
  "Time of an operation from its wait for a connection to its last answer, by operation",
  { op: Instrument.met(MAX_OPS) },
  Instrument.COARSE_SECONDS,
)

export const errors = Instrument.counter(
  "floodgate_mysql_errors_total",
  "Operations that failed, by what the caller may do about it",
  {
    kind: ["unavailable", "timeout", "crowded", "breaker_open", "conflict", "duplicate_key", "defect"],
  },
)

export const inUse = Instrument.gauge(
  "floodgate_mysql_pool_in_use",
  "Connections that an operation holds or asks for",
  { pool: Instrument.told },
)
export const waiting = Instrument.gauge(
  "floodgate_mysql_pool_waiting",
  "Operations that wait for a connection",
  { pool: Instrument.told },
)
export const size = Instrument.gauge("floodgate_mysql_pool_size", "Connections that a pool may have", {
  pool: Instrument.told,
})

export const slow = Instrument.counter(
  "floodgate_mysql_slow_queries_total",
  "Statements that took longer than SLOW_QUERY_MS, by operation",
  { op: Instrument.met(MAX_OPS) },
)
