/** What a supervisor tells while it brings a stack up; one JSON object a line on the control socket. */
export type Event =
  | { readonly type: "say"; readonly line: string }
  | { readonly type: "done"; readonly step: string; readonly ms: number; readonly detail: string }
  /** Everything that was asked for is ready. */
  | { readonly type: "ready"; readonly ms: number }
  /** The stack didn't come up, or its supervisor stopped it. Nothing follows. */
  | { readonly type: "failed"; readonly message: string }
  /** A process ended that nobody stopped. It stays down until `stack restart`. */
  | { readonly type: "lost"; readonly name: string; readonly how: string; readonly logFile: string }

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** An event as a line for people; undefined for one that needs no line. */
export const line = (event: Event): string | undefined => {
  switch (event.type) {
    case "say":
      return `  … ${event.line}`
    case "done":
      return `  ✓ ${event.step.padEnd(12)}${seconds(event.ms).padStart(8)}   ${event.detail}`
    case "lost":
      return `  ! ${event.name} ended (${event.how}); "pnpm stack restart ${event.name}" revives it. Log: ${event.logFile}`
    case "ready":
    case "failed":
      return undefined
  }
}
