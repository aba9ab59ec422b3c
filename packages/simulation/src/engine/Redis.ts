/** The shard's Redis server: it can forget its newest writes, or everything, go over to another run, or freeze. */
import * as Model from "./RedisModel.ts"
import { Away, exchange, type Task } from "./Task.ts"

/** Writes that a crash can take: more than a run ever makes between two faults. */
const HISTORY = 400

export class Redis {
  shard: Model.Shard = Model.empty
  /** Which relay reads the stream. */
  relayLease = ""
  /** How far this server's clock is ahead, ms. */
  skew = 0
  writes = 0
  private run = 1
  private history: Array<Model.Shard> = []
  private frozen = false
  private waiting: Array<() => void> = []

  constructor(
    private readonly clock: () => number,
    /** True: the scripts take any fence for this server's own. */
    private readonly gullible: boolean,
  ) {}

  get now(): number {
    return this.clock() + this.skew
  }

  get run_id(): string {
    return `run${this.run}`
  }

  get isFrozen(): boolean {
    return this.frozen
  }

  /** What scripts see of this server. */
  get server(): Model.Server {
    const run_id = this.gullible ? (this.shard.fence.run_id ?? this.run_id) : this.run_id
    return { run_id, now: this.now }
  }

  get isOpen(): boolean {
    return Model.isOpen(this.shard, this.server)
  }

  /**
   * One command or script. A frozen server takes it, answers nothing in time, and executes it once it goes on.
   * Fails with Away where no answer came.
   */
  *call<A>(what: string, command: () => A): Task<A> {
    return yield* exchange("Redis", what, () => {
      if (!this.frozen) return command()
      this.waiting.push(command)
      throw new Away("Redis")
    })
  }

  write<A>([shard, reply]: Model.Applied<A>): A {
    if (shard !== this.shard) {
      this.history.push(this.shard)
      if (this.history.length > HISTORY) this.history.shift()
      this.shard = shard
      this.writes++
    }
    return reply
  }

  freeze(): void {
    this.frozen = true
  }

  thaw(): void {
    this.frozen = false
    const commands = this.waiting
    this.waiting = []
    for (const command of commands) command()
  }

  /** Another run, without the newest `lost` writes: a crash with AOF everysec, a fail-over, a restart (0). */
  restart(lost: number): void {
    this.waiting = []
    this.frozen = false
    this.run++
    for (let i = 0; i < lost && this.history.length > 0; i++) this.shard = this.history.pop()!
    this.writes++
  }

  /** FLUSHALL, or a server that came back empty. */
  lose(newRun: boolean): void {
    if (newRun) this.restart(0)
    this.relayLease = ""
    this.write([Model.empty, undefined])
  }
}
