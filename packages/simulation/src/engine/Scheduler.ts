/**
 * Lets the processes of the world go on, one step at a time, in any order that a script asks for. There is no other
 * concurrency: two runs of one script do the same things in the same order.
 */
import { Away, Refused, type Server, type Signal, type Step, type Task } from "./Task.ts"

export interface Process {
  readonly name: string
  /** Its program; absent for one that has something to do only when asked (a buyer). */
  readonly program: (() => Task<void>) | undefined
  task: Task<void> | undefined
  pending: Step | undefined
  /** When it was stopped, ms; undefined while it runs. */
  stoppedAt: number | undefined
  /** How often it was started. */
  life: number
}

/** A handler whose caller waits no more. */
interface Orphan {
  readonly server: Server
  readonly task: Task<unknown>
  pending: Step
}

const never: ReadonlyArray<Server> = []

export class Scheduler {
  now = 0
  steps = 0
  readonly processes: Array<Process> = []
  readonly orphans: Array<Orphan> = []
  /** When each past life of a process ended, ms. */
  private readonly deaths = new Map<string, number>()
  /** When a process last died, ms. */
  lastDeath = Number.NEGATIVE_INFINITY
  /** Told of each thing that happens, where somebody listens. */
  /** In calm only what changed something is told. */
  tellsOnlyChanges = false
  story: ((who: string, what: string) => void) | undefined

  /** The step at hand, in calm: told only if something comes of it. */
  private untold: readonly [who: string, what: string] | undefined

  private tellUntold(): void {
    if (this.untold !== undefined) this.story?.(...this.untold)
    this.untold = undefined
  }

  /** Tells what somebody was answered, after the step that led to it. */
  tellStory(who: string, what: string): void {
    this.tellUntold()
    this.story?.(who, what)
  }

  /** How often anything outside was changed. */
  get changes(): number {
    return 0
  }

  add(name: string, program?: () => Task<void>): Process {
    const process: Process = {
      name,
      program,
      task: undefined,
      pending: undefined,
      stoppedAt: undefined,
      life: 0,
    }
    this.processes.push(process)
    return process
  }

  /** How a process signs leases: another life is another holder. */
  holderOf(name: string): string {
    return `${name}#${this.find(name).life}`
  }

  find(name: string): Process {
    return this.processes.find((process) => process.name === name)!
  }

  /** Until when a holder was able to renew what it holds; now for one that runs. */
  lastAlive(holder: string): number {
    const dead = this.deaths.get(holder)
    if (dead !== undefined) return dead
    const at = holder.indexOf("#")
    const process = this.processes.find((one) => one.name === holder.slice(0, at))
    return process?.stoppedAt ?? this.now
  }

  /** A call to a service. Its handler is another process: it goes on where the caller dies or stops waiting. */
  *call<A>(server: Server, what: string, handler: () => Task<A>): Task<A> {
    const task = handler()
    let over = false
    let current = task.next()
    if (current.done) return current.value
    try {
      while (true) {
        const step = current.value
        const signal: Signal = yield {
          ...step,
          what: `${what} > ${step.what}`,
          via: [server, ...(step.via ?? never)],
        }
        if (signal === "deadline") throw new Away(server)
        if (typeof signal === "object" && signal.died === server) {
          over = true
          task.return(undefined as never)
          throw new Away(server)
        }
        over = true
        current = task.next(signal)
        over = false
        if (current.done) {
          over = true
          return current.value
        }
      }
    } finally {
      if (!over) this.orphans.push({ server, task, pending: current.value as Step })
    }
  }

  private canGoOn(step: Step | undefined): boolean {
    if (step === undefined) return true
    if (step.until === undefined && step.at === undefined) return true
    return (step.until?.() ?? false) || (step.at !== undefined && this.now >= step.at)
  }

  isRunnable(process: Process): boolean {
    if (process.stoppedAt !== undefined) return false
    if (process.task === undefined) return process.program !== undefined
    return this.canGoOn(process.pending)
  }

  /** Gives an idle process something to do; what it was at before goes on without it. */
  ask(process: Process, task: Task<void>): void {
    this.resume(process, "deadline")
    process.task?.return()
    process.task = undefined
    this.begin(process, task)
  }

  private begin(process: Process, task: Task<void>): void {
    process.task = task
    process.pending = undefined
    this.advance(process, undefined)
  }

  private advance(process: Process, signal: Signal): void {
    try {
      const { done, value } = process.task!.next(signal)
      if (done) process.task = process.pending = undefined
      else process.pending = value
    } catch (error) {
      process.task = process.pending = undefined
      if (!(error instanceof Away || error instanceof Refused)) throw error
      this.story?.(process.name, `gives up: ${error.message}`)
    }
  }

  /** One step of a process that can take one. */
  step(process: Process): void {
    this.steps++
    if (process.task === undefined) {
      if (process.program !== undefined) this.begin(process, process.program())
      return
    }
    const told: readonly [string, string] = [process.name, process.pending!.what]
    if (this.tellsOnlyChanges) this.untold = told
    else this.story?.(...told)
    const before = this.changes
    this.advance(process, undefined)
    if (this.changes !== before) this.tellUntold()
    this.untold = undefined
  }

  /** Lets a process go on with what a fault does to it; nothing where it isn't at something outside. */
  resume(process: Process, signal: Exclude<Signal, undefined>): boolean {
    const step = process.pending
    if (process.task === undefined || step === undefined || process.stoppedAt !== undefined) return false
    if (signal === "deadline") {
      if (step.via === undefined || step.via.length === 0) return false
      this.story?.(process.name, `stops waiting: ${step.what}`)
    } else if (typeof signal === "object") {
      if (step.via === undefined || !step.via.includes(signal.died)) return false
    } else {
      if (step.outside !== true || !this.canGoOn(step)) return false
      this.story?.(process.name, `${step.what} (${signal})`)
    }
    this.steps++
    this.advance(process, signal)
    return true
  }

  /** kill -9: what it had in memory is gone, its transaction is rolled back; it starts anew when it next runs. */
  kill(process: Process): boolean {
    if (process.task === undefined) return false
    this.story?.(process.name, "is killed")
    this.deaths.set(this.holderOf(process.name), this.now)
    this.lastDeath = this.now
    process.task.return()
    process.task = process.pending = undefined
    process.stoppedAt = undefined
    process.life++
    return true
  }

  /** The service dies: handlers with their transactions, those that are waited for and those that aren't. */
  killServer(server: Server): void {
    for (const process of this.processes) {
      // A stopped caller finds out when it goes on; its handler is gone now.
      const stopped = process.stoppedAt
      process.stoppedAt = undefined
      this.resume(process, { died: server })
      process.stoppedAt = stopped
    }
    for (let i = this.orphans.length - 1; i >= 0; i--) {
      if (this.orphans[i]!.server !== server) continue
      this.orphans.splice(i, 1)[0]!.task.return(undefined)
    }
  }

  /** A step of the oldest handler that nobody waits for any more; false where none can go on. */
  stepOrphan(): boolean {
    const at = this.orphans.findIndex((orphan) => this.canGoOn(orphan.pending))
    if (at < 0) return false
    const orphan = this.orphans[at]!
    this.steps++
    this.story?.(`late call to ${orphan.server}`, orphan.pending.what)
    try {
      const { done, value } = orphan.task.next()
      if (done) this.orphans.splice(this.orphans.indexOf(orphan), 1)
      else orphan.pending = value
    } catch (error) {
      this.orphans.splice(this.orphans.indexOf(orphan), 1)
      if (!(error instanceof Away || error instanceof Refused)) throw error
    }
    return true
  }
}
