/** What a shard keeps of one buyer of one generation: `order_num,quantity,request_id,l;` for each, oldest first. */
export interface BuyerReservation {
  readonly order_num: string
  readonly quantity: number
  readonly request_id: string
  /** False once it was rejected or cancelled: the stock is back, the request id is still remembered. */
  readonly live: boolean
}

const ITEM = /([^,;]+),(\d+),([^,;]+),([lr]);/g

/** Reads a record, oldest reservation first; what isn't of the record's shape is left out. */
export const decode = (record: string): ReadonlyArray<BuyerReservation> =>
  Array.from(record.matchAll(ITEM), ([, order_num = "", quantity = "", request_id = "", state]) => ({
    order_num,
    quantity: Number(quantity),
    request_id,
    live: state === "l",
  }))
