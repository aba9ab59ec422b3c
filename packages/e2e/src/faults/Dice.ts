/** Random choices that a seed repeats. */

const hash = (text: string): number => {
  let h = 2_166_136_261
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16_777_619)
  return h >>> 0
}

export class Dice {
  readonly seed: string
  #state: number

  constructor(seed: string) {
    this.seed = seed
    this.#state = hash(seed)
  }

  /** 0 ≤ x < 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number, both bounds included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(items: ReadonlyArray<A>): A {
    if (items.length === 0) throw new RangeError("nothing to pick from")
    return items[this.between(0, items.length - 1)]!
  }

  shuffle<A>(items: ReadonlyArray<A>): Array<A> {
    const result = [...items]
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.between(0, i)
      const kept = result[i]!
      result[i] = result[j]!
      result[j] = kept
    }
    return result
  }

  /** Dice of their own for one purpose, so that more throws there don't change what is thrown here. */
  fork(name: string): Dice {
    return new Dice(`${this.seed}/${name}`)
  }

  /** An id that the seed repeats: 16 hex digits. */
  id(): string {
    const half = () =>
      Math.floor(this.next() * 4_294_967_296)
        .toString(16)
        .padStart(8, "0")
    return half() + half()
  }
}
