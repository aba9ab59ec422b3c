/** What a command works on: where the repository and the data are, and what was asked for. */
import type { EngineWishes, Environment } from "../Engines.ts"
import type { Selection } from "../Services.ts"
import type { Shape } from "../Shape.ts"
import type { Build } from "../supervisor/Supervisor.ts"

export interface Setting {
  /** The repository's root. */
  readonly root: string
  readonly build: Build
  readonly env: Environment
  readonly dataDir: string
  readonly portBase: number
  readonly selection: Selection
  readonly wishes: EngineWishes
  readonly shape: Shape
}

/** A line for the person at the terminal. */
export const print = (text = ""): void => {
  process.stdout.write(`${text}\n`)
}
