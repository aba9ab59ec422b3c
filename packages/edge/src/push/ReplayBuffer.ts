/**
 * The newest changes of orders, so that a stream that was cut off goes on where it was. Bounded by the number of
 * changes; whoever was away for longer is told to fetch anew.
 */

/** One change as it is told. */
export interface Change {
  readonly userId: number
  readonly orderNum: string
  readonly state: string
  readonly version: number
  /** RFC 3339 UTC. */
  readonly updatedAt: string
}

export interface Told {
  /** The journal's id of the entry that brought it. */
  readonly id: string
  readonly change: Change
}

/** Ids of a Redis stream: `<ms>-<n>`. Anything else is older than everything. */
const parse = (id: string): readonly [number, number] => {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(id)
  return match === null ? [-1, -1] : [Number(match[1]), Number(match[2])]
}

export const isBefore = (a: string, b: string): boolean => {
  const [aMs, aN] = parse(a)
  const [bMs, bN] = parse(b)
  return aMs < bMs || (aMs === bMs && aN < bN)
}

export class ReplayBuffer {
  private readonly byUser = new Map<number, Array<Told>>()
  /** Entries in order: their ids and users, so that the oldest can be let go of. */
  private entries: Array<{ readonly id: string; readonly users: ReadonlyArray<number> }> = []
  private first = 0
  private held = 0
  /** Everything after it is here. */
  private floor: string
  private newest: string
  private readonly capacity: number

  /** `start`: where reading began; nothing after it is missing. */
  constructor(capacity: number, start: string) {
    this.capacity = capacity
    this.floor = start
    this.newest = start
  }

  get newestId(): string {
    return this.newest
  }

  get size(): number {
    return this.held
  }

  append(id: string, changes: ReadonlyArray<Change>): void {
    this.newest = id
    this.entries.push({ id, users: changes.map((change) => change.userId) })
    for (const change of changes) {
      const told = this.byUser.get(change.userId)
      if (told === undefined) this.byUser.set(change.userId, [{ id, change }])
      else told.push({ id, change })
    }
    this.held += changes.length
    while (this.held > this.capacity && this.first < this.entries.length) this.forgetOldest()
  }

  /** Something between what is here and `id` was lost: nobody can go on from before it. */
  gap(id: string): void {
    this.byUser.clear()
    this.entries = []
    this.first = 0
    this.held = 0
    this.floor = id
    this.newest = id
  }

  /** What a user has missed since an id, oldest first; undefined where that can't be told any more. */
  since(userId: number, id: string): ReadonlyArray<Told> | undefined {
    if (isBefore(id, this.floor) || isBefore(this.newest, id)) return undefined
    return (this.byUser.get(userId) ?? []).filter((told) => isBefore(id, told.id))
  }

  private forgetOldest(): void {
    const oldest = this.entries[this.first++]!
    this.floor = oldest.id
    this.held -= oldest.users.length
    for (const userId of oldest.users) {
      const told = this.byUser.get(userId)
      told?.shift()
      if (told?.length === 0) this.byUser.delete(userId)
    }
    if (this.first > 1_024 && this.first * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.first)
      this.first = 0
    }
  }
}
