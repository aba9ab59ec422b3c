/** What `stack status --json` prints: one entry a component. */
export interface ComponentStatus {
  /**
   * `ready`; `unready`: runs, but says it can't serve (or doesn't say); `starting`, `stopping`, `stopped`;
   * `exited`: ended by itself or was killed; `external`: not ours, named by the environment.
   */
  readonly state: "ready" | "unready" | "starting" | "stopping" | "stopped" | "exited" | "external"
  /** Of the process itself, not of a wrapper. Absent when it doesn't run or isn't ours. */
  readonly pid?: number
  readonly url?: string
  readonly ops_url?: string
  /** How it last ended. */
  readonly last_exit?: string
  /** The sandbox only: what signs its callbacks in dev. */
  readonly callback_secret?: string
}

export type Status = Record<string, ComponentStatus>
