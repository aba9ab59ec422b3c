/** What this edge has counted since its start, as one flat row of numbers: read from its metrics, where it is counted anyway. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"

/** Counts by name; what isn't named is 0. */
export type Counts = Readonly<Record<string, number>>

/** The upper ends (s) of the times of answers, as they are counted. The last field counts those beyond. */
export const TIMES = Instrument.SECONDS

/** The name of the count of answers up to the upper end of this index. */
export const timeField = (index: number): string => `t${index}`

/** The route whose answers are timed here: the rush's. */
const RUSH = "/seckill"

/** The counts of this process, from its start. */
export const read = (): Counts => {
  const counts: Record<string, number> = {}
  const add = (field: string, by: number): void => {
    if (by > 0) counts[field] = (counts[field] ?? 0) + by
  }
  for (const { labels, value } of Instrument.read("floodgate_sale_total")) {
    const step = labels["step"]
    if (step === "asked" || step === "limited" || step === "sold_out" || step === "accepted") add(step, value)
  }
  for (const { labels, value } of Instrument.read("floodgate_stock_checks_total")) {
    add(labels["result"] === "hit" ? "hits" : "misses", value)
  }
  for (const { labels, value } of Instrument.read("floodgate_http_requests_total")) {
    if (labels["status"] === "client_left") continue
    add("requests", value)
    if (labels["status"] === "5xx") add("errors", value)
  }
  for (const { buckets, labels, value } of Instrument.read("floodgate_http_request_seconds")) {
    if (labels["route"] !== RUSH) continue
    let below = 0
    TIMES.forEach((end, index) => {
      const upTo = buckets.find(([boundary]) => boundary === end)?.[1] ?? below
      add(timeField(index), upTo - below)
      below = upTo
    })
    add(timeField(TIMES.length), value - below)
  }
  return counts
}

/** What came since. */
export const minus = (now: Counts, before: Counts): Counts =>
  Object.fromEntries(
    Object.entries(now)
      .map(([field, count]) => [field, count - (before[field] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  )

export const plus = (one: Counts, other: Counts): Counts => {
  const sum: Record<string, number> = { ...one }
  for (const [field, count] of Object.entries(other)) sum[field] = (sum[field] ?? 0) + count
  return sum
}
