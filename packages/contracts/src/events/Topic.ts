/** The topics of the event bus. Partition counts are those of a new cluster; the stack and deployments create them. */
export const Topic = {
  /** Reservations, keyed by order_num; the partition is chosen by shard, so one product stays on one partition. */
  Reservations: "seckill.reservations",
  ReservationsDlq: "seckill.reservations.dlq",
  OrderEvents: "order.events",
  PaymentEvents: "payment.events",
  InventoryEvents: "inventory.events",
} as const

export type Topic = (typeof Topic)[keyof typeof Topic]

export const partitions: Record<Topic, number> = {
  "seckill.reservations": 16,
  "seckill.reservations.dlq": 1,
  "order.events": 8,
  "payment.events": 8,
  "inventory.events": 8,
}
