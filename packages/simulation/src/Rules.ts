/**
 * The protective rules that a run can be made without, to show that the simulation would notice. Each is dropped in the
 * simulation's own wiring; product code is never changed.
 */
export const rules = {
  "cancel-cas": "the last step of a cancel looks again whether the order is still unpaid",
  tombstone: "a reservation that was given up leaves a row, so that a later copy changes nothing",
  fence: "scripts compare the run under which the shard was proved equal to MySQL",
  "generation-check": "a reservation of a generation that was rebuilt since is lost",
  barrier: "recovery waits until all that the bus had is decided",
  "outbox-lease-epoch": "a relay marks rows sent only while its lease's epoch holds",
  inbox: "an event that comes again changes nothing",
  "wallet-void": "a void stays, so that a debit that comes later is refused",
  "capture-unique": "a movement of money counts once, whatever events tell of it",
  "release-once": "stock comes back only as that number's record goes from live to released",
  "one-open-intent": "at most one payment of an order is open",
  "request-id": "the same request id gets the first answer again",
  "not-after": "a reservation that comes too late has no effect",
  "keep-until-decided": "an entry stays in the stream until its outcome is in MySQL",
} as const

export type Rule = keyof typeof rules

export const names = Object.keys(rules) as ReadonlyArray<Rule>
