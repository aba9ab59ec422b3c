/** `pnpm bench [--json] [--quick]`: every figure as a ratio of two things measured in this run. */
import { withStack } from "./BenchStack.ts"
import { ordersPersisted } from "./OrdersPersisted.ts"
import { json, table } from "./Result.ts"

const flags = new Set(process.argv.slice(2))
const quick = flags.has("--quick")
const progress = (text: string) => process.stderr.write(`${text}\n`)

const results = await withStack(29_000, (stack) =>
  ordersPersisted(
    stack,
    quick ? { orders: 10_000, rounds: 2, single: 300 } : { orders: 50_000, rounds: 5, single: 1000 },
    progress,
  ),
)
process.stdout.write(`${flags.has("--json") ? json(results) : table(results)}\n`)
