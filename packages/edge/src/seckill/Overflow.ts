/** What is said to a buyer who can't be let through to a product now: one table. */
export interface Situation {
  /** The product has a waiting room. */
  readonly waitingRoom: boolean
  /** The buyer comes from it. */
  readonly admitted: boolean
  /** The product is asked for more often than its limit allows. */
  readonly over: boolean
  /** Inventory can't be asked: to wait for one's turn would be in vain. */
  readonly degraded: boolean
}

export type Verdict =
  | "through"
  /** 530. */
  | "busy"
  /** 705: get in line. */
  | "queue"
  /** 429: come again in a moment; who was admitted has a place, and only came too fast. */
  | "slow_down"

export const decide = ({ admitted, degraded, over, waitingRoom }: Situation): Verdict => {
  if (waitingRoom && !admitted) return degraded ? "busy" : "queue"
  if (!over) return "through"
  return degraded ? "busy" : "slow_down"
}
