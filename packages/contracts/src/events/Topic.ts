/** The topics of the event bus. Partition counts are those of a new cluster; the stack and deployments create them. */
export const Topic = {
  /** Reservations, keyed by order_num; the partition is chosen by shard, so one product stays on one partition. */
  Reservations: "seckill.reservations",
  /** Reservations that failed by themselves, each topic tried after a longer while than the one before. */
  ReservationsRetry1: "seckill.reservations.retry-1",
  ReservationsRetry2: "seckill.reservations.retry-2",
  ReservationsRetry3: "seckill.reservations.retry-3",
  /** Copies of what ordering keeps as dead letters of the topics above, for whoever watches the bus. */
  ReservationsDlq: "seckill.reservations.dlq",
  OrderEvents: "order.events",
  PaymentEvents: "payment.events",
  InventoryEvents: "inventory.events",
} as const

export type Topic = (typeof Topic)[keyof typeof Topic]

export const partitions: Record<Topic, number> = {
  "seckill.reservations": 16,
  "seckill.reservations.retry-1": 2,
  "seckill.reservations.retry-2": 2,
  "seckill.reservations.retry-3": 2,
  "seckill.reservations.dlq": 1,
  "order.events": 8,
  "payment.events": 8,
  "inventory.events": 8,
}
