/**
 * A map of a bounded size that forgets what wasn't used lately, at the price of two lookups at most: entries live in a
 * young and an old generation; a use makes an entry young, and when the young are too many, the old are dropped.
 */
export class Generations<K, V> {
  private young = new Map<K, V>()
  private old = new Map<K, V>()
  private readonly capacity: number

  /** Holds at most twice `capacity` entries. */
  constructor(capacity: number) {
    this.capacity = capacity
  }

  get(key: K): V | undefined {
    const found = this.young.get(key)
    if (found !== undefined) return found
    const older = this.old.get(key)
    if (older !== undefined) this.set(key, older)
    return older
  }

  set(key: K, value: V): void {
    if (this.young.size >= this.capacity) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(key, value)
  }

  clear(): void {
    this.young = new Map()
    this.old = new Map()
  }

  get size(): number {
    return this.young.size + this.old.size
  }
}
