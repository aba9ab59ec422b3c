/**
 * Time limits on machines that are busy with other things: a promise of so many seconds is one about a machine that has
 * a core to spare. Results are never judged by this, only how long they may take.
 */
import * as os from "node:os"

const MOST = 8

/** How much longer everything may take now: the work that waits for each core, 1 to 8. */
export const factor = (): number =>
  Math.min(MOST, Math.max(1, (os.loadavg()[0] ?? 0) / os.availableParallelism()))

/** The limit, stretched. Milliseconds. */
export const patient = (limitMs: number): number => Math.round(limitMs * factor())
