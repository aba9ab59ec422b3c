/** Rows 1 to 4: a process dies between two steps. */
import type { Point } from "@floodgate/runtime/lifecycle/CrashPoint"
import type { Row, Trial } from "../Trial.ts"

/** Kills whoever comes to this point, at a hit that the seed chooses, while a crowd buys. */
const killAt = async (trial: Trial, point: Point, highestHit = 4): Promise<void> => {
  await trial.rush({ habits: { perSecond: 60 } })
  const before = await trial.world.stack.status()
  const at = trial.dice.between(1, highestHit)
  const order = trial.world.crash.give(point, { action: "kill", at })
  const pid = await order.struck()
  const victim = await trial.world.componentOf(pid, before)
  trial.note(`${victim} died at hit ${at} of ${point}`)
  // Its fellow has it alone for a while.
  await trial.sometime(200, 1500)
  await trial.heal()
}

export const crashes: ReadonlyArray<Row> = [
  {
    number: 1,
    promise:
      "inventory killed after the script, before the relay: each reservation becomes an order or is released",
    run: (trial) => killAt(trial, "reserve.executed", 20),
  },
  {
    number: 2,
    promise: "the order worker killed after its commit, before the offset: one order a reservation",
    run: (trial) => killAt(trial, "orders.committed"),
  },
  {
    number: 3,
    promise: "the order worker killed in its transaction: no partial row",
    run: (trial) => killAt(trial, "orders.in_transaction"),
  },
  {
    number: 4,
    face: "stream",
    promise: "the stream's relay killed after it produced, before its mark: the duplicate is absorbed",
    run: (trial) => killAt(trial, "relay.produced"),
  },
  {
    number: 4,
    face: "outbox",
    promise: "an outbox relay killed after it produced, before its mark: the duplicate is absorbed",
    run: (trial) => killAt(trial, "outbox.published"),
  },
]
