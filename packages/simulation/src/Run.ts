/** Plays a script on a fresh sale, heals every fault, lets everything come to rest, and says what went wrong. */

import { PARTITIONS } from "./engine/Broker.ts"
import type { Process } from "./engine/Scheduler.ts"
import type { Task } from "./engine/Task.ts"
import * as Invariants from "./Invariants.ts"
import type { Rule } from "./Rules.ts"
import * as Sale from "./Sale.ts"
import type { Command, Wish } from "./Script.ts"
import * as Buyer from "./services/Buyer.ts"
import * as Inventory from "./services/Inventory.ts"
import * as Ordering from "./services/Ordering.ts"
import * as Provider from "./services/Provider.ts"
import { PAY_TIMEOUT_MS, type World } from "./World.ts"

/** Bounds of a run: beyond them the system doesn't come to rest. */
const MAX_CALM_STEPS = 500
const MAX_REST_STEPS = 6_000

export interface Played {
  /** What was violated first; undefined where all held. */
  readonly violation: string | undefined
  readonly steps: number
}

class Run {
  private readonly watch: Invariants.Watch

  constructor(private readonly w: World) {
    this.watch = new Invariants.Watch(w)
  }

  private step(process: Process): void {
    this.w.step(process)
    this.watch.check()
  }

  private isOver(): boolean {
    return this.w.violation !== undefined
  }

  /** Everyone in turn, until nobody can go on or so many steps were made; how many. */
  private everyone(steps: number): number {
    const { w } = this
    let made = 0
    w.tellsOnlyChanges = true
    for (let moved = true; moved && made < steps && !this.isOver(); ) {
      moved = false
      for (const process of w.processes) {
        if (!w.isRunnable(process)) continue
        this.step(process)
        made++
        moved = true
      }
    }
    w.tellsOnlyChanges = false
    return made
  }

  private moveClock(to: number): void {
    const { w } = this
    w.now = to
    // Sessions of processes that still speak are kept by what they say next; a stopped one says nothing.
    w.db.reap()
  }

  private wish(user_id: number, wish: Wish): void {
    const { w } = this
    const task = this.taskOf(user_id, wish)
    if (task === undefined) return
    w.ask(Sale.buyerOf(w, user_id), task)
  }

  private taskOf(user_id: number, wish: Wish): Task<void> | undefined {
    const { w } = this
    if (wish.wants === "buy") {
      const { key, product_id, quantity } = wish
      // A key is of one wish: with another quantity or product it would be another request.
      return Buyer.buy(w, { user_id, product_id, quantity, key: `${key}-${product_id}-${quantity}` })
    }
    const mine = [...w.issued.values()].filter((issued) => issued.user_id === user_id)
    const order_num = mine.at(-1 - wish.nth)?.order_num
    if (order_num === undefined) return undefined
    switch (wish.wants) {
      case "look":
        return Buyer.look(w, user_id, order_num)
      case "pay":
        return Buyer.pay(w, user_id, order_num, wish.channel, wish.key)
      case "cancel":
        return Buyer.cancel(w, user_id, order_num)
    }
  }

  perform(command: Command): void {
    const { w } = this
    switch (command.does) {
      case "run": {
        const process = w.find(command.who)
        for (let i = 0; i < command.steps && w.isRunnable(process) && !this.isOver(); i++) {
          this.step(process)
        }
        return
      }
      case "calm":
        w.tellStory("everyone", "goes on until nobody has anything to do")
        this.everyone(MAX_CALM_STEPS)
        return
      case "wish":
        this.wish(command.user, command.wish)
        return
      case "provider": {
        const payment = [...w.books.keys()].at(-1 - command.nth)
        if (payment !== undefined && Provider.act(w, payment, command.doing))
          w.tellStory("the provider", `${payment}: ${command.doing}`)
        return
      }
      case "poison": {
        const newest = command.bad ? `n${w.lastNumber}` : ""
        if (newest !== w.poison)
          w.tellStory("the order worker", newest === "" ? "is mended" : `can't take ${newest} as it is`)
        w.poison = newest
        return
      }
      case "provider silent":
        if (w.providerIsSilent !== command.silent)
          w.tellStory("the provider", command.silent ? "falls silent" : "speaks again")
        w.providerIsSilent = command.silent
        return
      case "late":
        for (let i = 0; i < command.steps && !this.isOver(); i++) {
          if (!w.stepOrphan()) return
          this.watch.check()
        }
        return
      case "clock":
        w.tellStory("the clock", `moves on by ${command.ms} ms`)
        this.moveClock(w.now + command.ms)
        return
      case "kill":
        w.kill(w.find(command.who))
        return
      case "stop": {
        const process = w.find(command.who)
        if (process.task === undefined || process.stoppedAt !== undefined) return
        w.tellStory(command.who, `is stopped before it ${process.pending!.what}`)
        process.stoppedAt = w.now
        return
      }
      case "wake": {
        const process = w.find(command.who)
        if (process.stoppedAt === undefined) return
        w.tellStory(command.who, "wakes up")
        process.stoppedAt = undefined
        return
      }
      case "cut":
        w.resume(w.find(command.who), command.how)
        return
      case "kill service":
        w.tellStory(command.server, "is killed with its handlers")
        w.killServer(command.server)
        return
      case "Redis restarts":
        w.tellStory(
          "Redis",
          `restarts without its newest ${command.lost} writes, its clock ${command.skew} ms off`,
        )
        w.redis.restart(command.lost)
        w.redis.skew = command.skew
        return
      case "Redis emptied":
        w.tellStory("Redis", command.restarted ? "comes back empty" : "is flushed")
        w.redis.lose(command.restarted)
        return
      case "Redis freezes":
        w.tellStory("Redis", "freezes")
        w.redis.freeze()
        return
      case "Redis goes on":
        w.tellStory("Redis", "goes on")
        w.redis.thaw()
        return
      case "MySQL killed":
        w.tellStory("MySQL", "is killed, and starts again")
        w.db.crash()
        return
      case "bus emptied":
        w.tellStory("the bus", "comes back empty")
        w.broker.empty()
        return
      case "rebalance":
        w.tellStory("the bus", `gives ${command.topic} to ${command.to}`)
        for (let p = 0; p < PARTITIONS; p++)
          w.broker.assignment(command.group, command.topic, p).member = w.holderOf(command.to)
        return
    }
  }

  play(script: ReadonlyArray<Command>): void {
    for (const command of script) {
      this.perform(command)
      this.watch.check()
      if (this.isOver()) return
    }
    this.heal()
    this.rest()
    if (this.isOver()) return
    this.w.tellStory("the clock", "moves on past every time to pay")
    this.moveClock(this.w.now + PAY_TIMEOUT_MS)
    this.rest()
    const open = this.w.order.values().find((order) => order.state === "unpaid")
    if (open !== undefined) this.w.violate(`${open.order_num} stays unpaid past its time`)
  }

  private heal(): void {
    const { w } = this
    w.tellStory("everyone", "is healed, and goes on until nothing is on its way")
    for (const process of w.processes) process.stoppedAt = undefined
    w.redis.thaw()
    w.providerIsSilent = false
    w.poison = ""
  }

  private rest(): void {
    const { w } = this
    for (let made = 0; made < MAX_REST_STEPS && !this.isOver(); ) {
      const moved = this.everyone(MAX_REST_STEPS)
      if (moved > 0) {
        made += moved
        continue
      }
      if (w.stepOrphan()) {
        this.watch.check()
        made++
        continue
      }
      const left = Invariants.unrest(w)
      if (left === undefined) {
        Invariants.atRest(w)
        return
      }
      const due = this.nextDue()
      if (due === Number.POSITIVE_INFINITY) {
        w.violate(`it doesn't come to rest: ${left}`)
        return
      }
      made++
      this.moveClock(due)
    }
    if (!this.isOver()) w.violate(`it doesn't come to rest: ${Invariants.unrest(w)}`)
  }

  /** When something next happens by itself: nobody can go on before. */
  private nextDue(): number {
    const { w } = this
    let due = Number.POSITIVE_INFINITY
    const at = (ms: number | null | undefined) => {
      if (ms != null && ms > w.now && ms < due) due = ms
    }
    for (const process of w.processes) at(process.pending?.at)
    for (const orphan of w.orphans) at(orphan.pending.at)
    for (const order of w.order.rows.values()) {
      if (order.state !== "unpaid") continue
      at(order.cancel_requested_at === null ? order.expires_at : order.cancel_asked_at + Ordering.QUIET_MS)
    }
    for (const letter of w.deadLetter.rows.values()) at(letter.state === "open" ? letter.discard_at : null)
    for (const row of w.intent.rows.values()) at(row.next_try_at)
    for (const row of w.refund.rows.values()) at(row.next_try_at)
    for (const row of w.providerEvent.rows.values()) at(row.next_try_at)
    for (const entry of w.redis.shard.stream) at(entry.id[0] - w.redis.skew + Inventory.AGAIN_MS)
    // The leases of the dead: none is longer than this.
    at(w.lastDeath + 6_000)
    return due
  }
}

/** Plays a script; with `tell`, everything that happens is told as it happens. */
export const play = (
  script: ReadonlyArray<Command>,
  without: ReadonlySet<Rule> = new Set(),
  tell?: (who: string, what: string) => void,
): Played => {
  const w = Sale.make(without)
  w.story = tell
  new Run(w).play(script)
  return { violation: w.violation, steps: w.steps }
}
