/**
 * The event bus: partitions that keep their order, consumer groups with committed offsets. At least once: whoever
 * doesn't hear that a message was taken sends it again, and a partition that changes hands starts at its last commit.
 */
import { exchange, type Task } from "./Task.ts"

export type Topic = "reservations" | "order.events" | "payment.events"

export const PARTITIONS = 2

export interface Message {
  readonly type: string
  readonly key: string
  readonly value: unknown
}

interface Assignment {
  member: string
  offset: number
}

const GROUPS: ReadonlyArray<readonly [group: string, topic: Topic]> = [
  ["orders", "reservations"],
  ["releases", "order.events"],
  ["payments", "order.events"],
  ["captures", "payment.events"],
]

export class Broker {
  /** Rises when everything on it is lost (a Redis-Streams bus that came back empty). */
  life = 1
  /** Messages ever taken. */
  published = 0
  private readonly logs = new Map<string, Array<Message>>()
  private readonly assignments = new Map<string, Assignment>()

  partition(topic: Topic, partition: number): Array<Message> {
    const name = `${topic}/${partition}`
    let log = this.logs.get(name)
    if (log === undefined) {
      log = []
      this.logs.set(name, log)
    }
    return log
  }

  *publish(
    what: string,
    messages: ReadonlyArray<readonly [topic: Topic, partition: number, message: Message]>,
  ): Task<void> {
    yield* exchange("the bus", what, () => {
      this.published += messages.length
      for (const [topic, partition, message] of messages) this.partition(topic, partition).push(message)
    })
  }

  assignment(group: string, topic: Topic, partition: number): Assignment {
    const name = `${group}/${topic}/${partition}`
    let found = this.assignments.get(name)
    if (found === undefined) {
      found = { member: "", offset: 0 }
      this.assignments.set(name, found)
    }
    return found
  }

  /** Offsets of every group now: passed once every group has committed as much. */
  checkpoint(): () => boolean {
    const life = this.life
    const ends = GROUPS.flatMap(([group, topic]) =>
      Array.from({ length: PARTITIONS }, (_, p) => {
        const end = this.partition(topic, p).length
        return () => this.assignment(group, topic, p).offset >= end
      }),
    )
    return () => this.life === life && ends.every((passed) => passed())
  }

  /** The first group that hasn't read all, for whoever waits for the end. */
  behind(): string | undefined {
    for (const [group, topic] of GROUPS) {
      for (let p = 0; p < PARTITIONS; p++) {
        if (this.assignment(group, topic, p).offset < this.partition(topic, p).length) return group
      }
    }
    return undefined
  }

  empty(): void {
    this.life++
    this.logs.clear()
    this.assignments.clear()
  }
}
