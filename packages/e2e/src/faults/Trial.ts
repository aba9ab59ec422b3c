/** One run of one row: its dice, its products, its crowds, and the verdict at the end. */
import { setTimeout as sleep } from "node:timers/promises"
import { inParallel, poll } from "../support/Poll.ts"
import { Crowd, type Habits } from "./Crowd.ts"
import type { Dice } from "./Dice.ts"
import { type Expectation, historyViolations } from "./Ledger.ts"
import { patient } from "./Patience.ts"
import type { World, WorldName } from "./World.ts"

/** A row of the fault table. */
export interface Row {
  readonly number: number
  /** Where a number has several faces. */
  readonly face?: string
  /** The promise that it holds. */
  readonly promise: string
  /** Which stack it breaks. Default: `sale`. */
  readonly world?: WorldName
  /** Redis loses what it promised: a 202 may then end as a rejection, never without an outcome. */
  readonly mayReject?: boolean
  /** Longest time for the fault itself, ms; the time to recover comes on top. Default 60 s. */
  readonly limitMs?: number
  readonly run: (trial: Trial) => Promise<void>
}

export const nameOf = (row: Row): string => `${row.number}${row.face === undefined ? "" : ` ${row.face}`}`

export interface Verdict {
  readonly violations: ReadonlyArray<string>
  /** From the end of the fault to the first promise after it; undefined where nobody asked. */
  readonly sellsAgainMs: number | undefined
  /** From the end of the fault to books that are right and at rest. */
  readonly atRestMs: number | undefined
  readonly notes: ReadonlyArray<string>
}

/** How long after the fault everything must be right. */
const RECOVERY_MS = 30_000
const SAMPLE_MS = 250

export interface Sale {
  readonly productId: number
  readonly stock: number
  readonly crowd: Crowd
}

export class Trial {
  readonly world: World
  readonly row: Row
  readonly dice: Dice
  readonly sales: Array<Sale> = []
  readonly notes: Array<string> = []
  readonly #inMotion: Array<string> = []
  readonly #firstLetter: number
  /** Letters that the row itself has caused and left open. */
  plantedLetters = 0
  #healedAtMs: number | undefined
  #sampling = true
  #samples = 0
  #sampler: Promise<void> = Promise.resolve()

  private constructor(world: World, row: Row, dice: Dice, firstLetter: number) {
    this.world = world
    this.row = row
    this.dice = dice
    this.#firstLetter = firstLetter
  }

  static async begin(world: World, row: Row, dice: Dice): Promise<Trial> {
    const trial = new Trial(world, row, dice, await world.ledger.lastDeadLetter())
    trial.#sampler = trial.#sample()
    return trial
  }

  /** Publishes a product of this trial's own and makes its crowd, which doesn't ask yet. */
  async sale(
    options: {
      readonly stock?: number
      readonly perUserLimit?: number
      readonly habits?: Habits
      readonly fields?: Readonly<Record<string, unknown>>
      /** Runs before the invariants in motion are looked at. */
      readonly prepare?: (productId: number) => Promise<void>
    } = {},
  ): Promise<Sale> {
    const { stock = 250, perUserLimit = 5, habits = {}, fields = {}, prepare } = options
    const productId = await this.world.publish({ stock, per_user_limit: perUserLimit, ...fields })
    await prepare?.(productId)
    const crowd = new Crowd({
      productId,
      edges: this.world.edges,
      buyers: await this.world.buyers(),
      perUserLimit,
      dice: this.dice.fork(`crowd ${this.sales.length}`),
      habits,
    })
    const sale = { productId, stock, crowd }
    this.sales.push(sale)
    return sale
  }

  /** A sale whose crowd is asking, and has been promised so much. */
  async rush(options: Parameters<Trial["sale"]>[0] = {}, promised = 10): Promise<Sale> {
    const sale = await this.sale(options)
    sale.crowd.start()
    await this.promised(sale, promised)
    return sale
  }

  async promised(sale: Sale, count: number, limitMs = patient(30_000)): Promise<void> {
    await poll(`${count} promises`, async () => sale.crowd.promised.length >= count, limitMs)
  }

  /** For a while that the seed chooses, between these bounds (ms): when a fault strikes isn't ours to arrange. */
  async sometime(lowMs: number, highMs: number): Promise<void> {
    await sleep(this.dice.between(lowMs, highMs))
  }

  /** SIGSTOP for so long, then SIGCONT. */
  async freezeFor(
    component: string,
    ms: number,
  ): Promise<{ readonly fromMs: number; readonly untilMs: number }> {
    const pid = await this.world.freeze(component)
    const fromMs = Date.now()
    await sleep(ms)
    const untilMs = Date.now()
    this.world.thaw(pid)
    return { fromMs, untilMs }
  }

  note(text: string): void {
    this.notes.push(text)
  }

  /** The fault is over: from here on the time to recover counts. */
  healed(): void {
    this.#healedAtMs = Date.now()
  }

  /** Everything that is broken is put right, and the clock starts. */
  async heal(): Promise<void> {
    await this.world.heal()
    this.healed()
  }

  /** Looks at the invariants in motion, again and again. */
  async #sample(): Promise<void> {
    while (this.#sampling) {
      for (const { productId } of this.sales) {
        const broken = await this.world.ledger.inMotion(productId)
        if (broken === undefined) continue
        this.#samples++
        for (const sentence of broken) if (this.#inMotion.length < 20) this.#inMotion.push(sentence)
      }
      await sleep(SAMPLE_MS)
    }
  }

  /** Heals what the row left broken, waits for rest, and holds everything against everything. */
  async verdict(): Promise<Verdict> {
    await this.world.heal()
    this.#healedAtMs ??= Date.now()
    const healedAtMs = this.#healedAtMs
    await this.world.ready()

    // The crowd goes on until somebody was promised something after the fault, or nobody is left to ask.
    let sellsAgainMs: number | undefined
    const violations: Array<string> = []
    const asking = this.sales.filter(({ crowd }) => crowd.isAsking)
    if (asking.length > 0) {
      const first = () =>
        asking
          .flatMap(({ crowd }) => crowd.requests)
          .filter(({ atMs, told }) => atMs >= healedAtMs && (told === "promised" || told === "refused"))
          .reduce((least, { atMs, tookMs }) => Math.min(least, atMs + tookMs), Number.POSITIVE_INFINITY)
      const again = await poll(
        "the sale goes on",
        async () => Number.isFinite(first()),
        patient(RECOVERY_MS),
      ).catch(() => false)
      if (again) sellsAgainMs = first() - healedAtMs
      else if (asking.some(({ crowd }) => crowd.left > 0))
        violations.push("nobody was answered in time after the fault")
    }
    await Promise.all(this.sales.map(({ crowd }) => crowd.stop()))

    const expectations = this.sales.map(
      ({ productId, crowd }): Expectation => ({
        productId,
        crowd,
        mayReject: this.row.mayReject ?? false,
      }),
    )
    const atRestMs =
      expectations.length === 0 ? undefined : await this.#rest(expectations, healedAtMs, violations)
    this.#sampling = false
    await this.#sampler

    // Each number that anybody was told is asked for until it has its outcome.
    for (const { crowd } of this.sales) {
      const untilMs = Date.now() + patient(RECOVERY_MS)
      await inParallel(12, [...crowd.numbers.keys()], async (number) => {
        while (["queued", "busy", "lost"].includes(await crowd.look(number)) && Date.now() < untilMs)
          await sleep(100)
      })
      violations.push(...historyViolations(crowd))
    }
    violations.push(...this.#inMotion)
    const letters = await this.world.ledger.deadLetters(this.#firstLetter)
    if (letters.length !== this.plantedLetters) {
      violations.push(
        `${letters.length} open dead letters, ${this.plantedLetters} planted: ${JSON.stringify(letters.slice(0, 3))}`,
      )
    }
    return { violations, sellsAgainMs, atRestMs, notes: [...this.notes, this.#summary()] }
  }

  /**
   * Whatever came of it: nobody asks or looks any more, and this trial's products are no longer among those that a
   * recovery rebuilds, so that many trials fit on one stack.
   */
  async end(): Promise<void> {
    this.#sampling = false
    await Promise.all([this.#sampler, ...this.sales.map(({ crowd }) => crowd.stop())])
    for (const { productId } of this.sales) {
      await this.world.ledger.rows(
        "UPDATE inventory.product SET end_time = UTC_TIMESTAMP(3) - INTERVAL 2 DAY WHERE id = ?",
        [productId],
      )
    }
  }

  /** Waits until nothing is under way and the books are right; adds what is still wrong in the end. */
  async #rest(
    expectations: ReadonlyArray<Expectation>,
    healedAtMs: number,
    violations: Array<string>,
  ): Promise<number | undefined> {
    const { ledger } = this.world
    const productIds = expectations.map(({ productId }) => productId)
    // Crowds take their time to finish; the books then have at least as long as the promise says.
    const untilMs = Math.max(healedAtMs, Date.now()) + patient(RECOVERY_MS)
    let wrong: ReadonlyArray<string> = []
    for (;;) {
      try {
        wrong = await ledger.underWay(productIds)
        if (wrong.length === 0) {
          wrong = await ledger.atRest(expectations)
          if (wrong.length === 0) return Date.now() - healedAtMs
        }
      } catch (cause) {
        wrong = [`the books can't be read: ${String(cause)}`]
      }
      if (Date.now() > untilMs) {
        violations.push(...wrong)
        return undefined
      }
      await sleep(150)
    }
  }

  #summary(): string {
    const requests = this.sales.flatMap(({ crowd }) => crowd.requests)
    const counts = new Map<string, number>()
    for (const { told } of requests) counts.set(told, (counts.get(told) ?? 0) + 1)
    const words = [...counts].map(([told, count]) => `${count} ${told}`).join(", ")
    return `${requests.length} requests (${words}), ${this.#samples} samples in motion`
  }
}
