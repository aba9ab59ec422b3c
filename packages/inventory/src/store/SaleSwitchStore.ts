/** The switch of all sales, in MySQL: what every shard is to obey. */
import * as Audit from "@floodgate/runtime/audit/Audit"
import { Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface SaleSwitch {
  /** Rises with every change. */
  readonly revision: number
  readonly paused: boolean
  /** 0: nobody has ever touched it. */
  readonly actorId: number
  readonly reason: string
  readonly changedAtMs: number
}

interface Row {
  readonly revision: number
  readonly paused: number
  readonly actor_id: number
  readonly reason: string
  readonly changed_at_ms: number
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const rowOf = (lock: boolean) =>
    sql<Row>`SELECT revision, paused, actor_id, reason,
        TIMESTAMPDIFF(MICROSECOND, '1970-01-01', changed_at) DIV 1000 AS changed_at_ms
      FROM sale_switch WHERE id = 1 ${sql.literal(lock ? "FOR UPDATE" : "")}`.pipe(
      Effect.map(([row]): SaleSwitch => {
        const { actor_id, changed_at_ms, paused, reason, revision } = row!
        return { revision, paused: paused === 1, actorId: actor_id, reason, changedAtMs: changed_at_ms }
      }),
    )

  const read = mysql.run("saleSwitch.read", rowOf(false))

  /** Answers what it is now. Where it is so already, nothing is changed and nothing recorded. */
  const set = Effect.fn("SaleSwitchStore.set")(function* (change: {
    readonly paused: boolean
    readonly actorId: number
    readonly reason: string
    readonly requestId: string
  }) {
    return yield* mysql
      .transaction(
        "saleSwitch.set",
        Effect.gen(function* () {
          const before = yield* rowOf(true)
          // A repeated wish must not undo what was wished after it.
          const action = change.paused ? "sale.pause" : "sale.resume"
          const known = yield* Audit.isRecorded(action, change.requestId).pipe(
            Effect.provideService(Mysql, mysql),
          )
          if (known || before.paused === change.paused) return before
          yield* sql`UPDATE sale_switch SET revision = revision + 1, paused = ${change.paused},
              actor_id = ${change.actorId}, reason = ${change.reason}, changed_at = UTC_TIMESTAMP(3)
            WHERE id = 1`
          yield* Audit.append([
            {
              actorId: change.actorId,
              action,
              targetType: "sale",
              targetId: "all",
              before: { paused: before.paused },
              after: { paused: change.paused },
              reason: change.reason,
              requestId: change.requestId,
            },
          ]).pipe(Effect.provideService(Mysql, mysql))
          return yield* rowOf(false)
        }),
      )
      .pipe(retryConflicts)
  })

  return { read, set } as const
})

export class SaleSwitchStore extends Context.Tag("@floodgate/inventory/store/SaleSwitchStore")<
  SaleSwitchStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(SaleSwitchStore, make)
}
