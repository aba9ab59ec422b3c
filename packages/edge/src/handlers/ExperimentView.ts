/** An experiment as the HTTP contract shows it. */
import type * as Http from "@floodgate/contracts/http/Experiment"
import { format } from "@floodgate/contracts/http/Instant"
import type { Experiment } from "../experiments/ExperimentStore.ts"
import { wilson } from "../experiments/Interval.ts"
import type { Count } from "../experiments/PeopleStore.ts"

export const of = (experiment: Experiment): Http.Experiment => ({
  key: experiment.key,
  kind: experiment.kind,
  status: experiment.status,
  salt: experiment.salt,
  percentage: experiment.percentage,
  allow_users: experiment.allowUsers,
  variants: experiment.variants,
  version: experiment.version,
  created_at: format(experiment.createdMs),
  updated_at: format(experiment.updatedMs),
  started_at: experiment.startedMs === undefined ? null : format(experiment.startedMs),
  stopped_at: experiment.stoppedMs === undefined ? null : format(experiment.stoppedMs),
})

/** The columns of an export. */
export const columns: ReadonlyArray<keyof Http.Experiment & string> = [
  "key",
  "kind",
  "status",
  "percentage",
  "variants",
  "allow_users",
  "salt",
  "version",
  "created_at",
  "updated_at",
  "started_at",
  "stopped_at",
]

/** Every variant has its line, also one that nobody met. */
export const results = (
  { key, kind, status, variants }: Experiment,
  counts: ReadonlyArray<Count>,
): Http.ExperimentResults => ({
  key,
  kind,
  status,
  variants: variants.map((variant, i) => {
    const { accepted, exposed, limited, paid } = counts.find((count) => count.variant === i) ?? {
      exposed: 0,
      accepted: 0,
      paid: 0,
      limited: 0,
    }
    return {
      key: variant.key,
      weight: variant.weight,
      exposed,
      accepted,
      paid,
      limited,
      accept_rate: wilson(accepted, exposed) ?? null,
      paid_rate: wilson(paid, exposed) ?? null,
    }
  }),
})
