/** A stack that lives as long as this process: `pnpm start`, `stack up`, and the daemon behind `up --detach`. */
import * as Ancestors from "../process/Ancestors.ts"
import { describe, StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import { type Event, line } from "../supervisor/Events.ts"
import { Supervisor } from "../supervisor/Supervisor.ts"
import * as Report from "./Report.ts"
import { print, type Setting } from "./Setting.ts"

/** How often we look whether our launcher still lives. */
const launcherCheckMs = 1000

/** One Ctrl-C may arrive twice, from the terminal and from a package runner; a second press takes longer than this. */
const secondPressMs = 500

/**
 * Brings the stack up and keeps it until a signal, `stack down`, or (unless `detached`) the death of whoever launched
 * us. Returns the exit code: 0 after a stop that was asked for, 1 when the stack didn't come up.
 */
export const run = async (setting: Setting, options: { readonly detached: boolean }): Promise<number> => {
  // Who watched us is gone (a closed pipe, a closed terminal); the stack still has to be stopped in order.
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
  const journal = new Control.Journal()
  const report = (event: Event): void => {
    journal.add(event)
    const text = line(event)
    if (text !== undefined) print(text)
  }
  const supervisor = new Supervisor({ ...setting, report })
  let stopping = false
  let stoppingSince = 0
  let stopped: () => void = () => {}
  const asked = new Promise<void>((resolve) => {
    stopped = resolve
  })
  const stop = (why: string): void => {
    if (stopping) return
    stopping = true
    stoppingSince = Date.now()
    print(`\n${why}: stopping edge, services, engines …`)
    void supervisor.stop().then(stopped)
  }
  const door = await Control.serve({
    dataDir: setting.dataDir,
    portBase: setting.portBase,
    supervisor,
    journal,
    onDown: () => stop("Asked to go down"),
  })
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stopping && signal === "SIGINT" && Date.now() - stoppingSince > secondPressMs) supervisor.killAll()
      stop(signal)
    })
  }
  process.on("SIGHUP", () => {
    if (!options.detached) stop("SIGHUP")
  })
  if (!options.detached) {
    const chain = Ancestors.launcher()
    setInterval(() => {
      if (!Ancestors.isIntact(chain)) stop("The launcher is gone")
    }, launcherCheckMs).unref()
  }

  const began = Date.now()
  try {
    await supervisor.start()
  } catch (cause) {
    if (!stopping) {
      const message =
        cause instanceof StackError
          ? cause.message
          : cause instanceof Error
            ? (cause.stack ?? cause.message)
            : describe(cause)
      journal.add({ type: "failed", message })
      process.stderr.write(`${message}\n`)
      await door.close()
      return 1
    }
  }
  if (!stopping) print(await Report.summary(setting, supervisor, Date.now() - began, options))
  await asked
  journal.add({ type: "failed", message: "The stack was stopped." })
  await door.close()
  print("Everything has stopped.")
  return 0
}
