/** A member of a consumer group: a partition is read by whom the group gave it to, from the last committed offset. */
import { type Message, PARTITIONS, type Topic } from "../engine/Broker.ts"
import { Away, exchange, type Task } from "../engine/Task.ts"
import type { World } from "../World.ts"

const SESSION_MS = 6_000
const BATCH = 3
const BACKOFF_MS = 100

/** Consumes until it is killed. A batch whose handling fails comes again. */
export function* consume(
  w: World,
  name: string,
  group: string,
  topic: Topic,
  handle: (batch: ReadonlyArray<Message>, partition: number) => Task<void>,
): Task<void> {
  const me = w.holderOf(name)
  const isTheirs = (member: string) =>
    member !== "" && member !== me && w.lastAlive(member) + SESSION_MS > w.now
  const next = (): number | undefined => {
    for (let p = 0; p < PARTITIONS; p++) {
      const { member, offset } = w.broker.assignment(group, topic, p)
      if (!isTheirs(member) && offset < w.broker.partition(topic, p).length) return p
    }
    return undefined
  }
  while (true) {
    yield { what: `has something to read on ${topic}`, until: () => next() !== undefined }
    const partition = next()
    if (partition === undefined) continue
    const { life } = w.broker
    const assignment = w.broker.assignment(group, topic, partition)
    assignment.member = me
    const from = assignment.offset
    const batch = w.broker.partition(topic, partition).slice(from, from + BATCH)
    try {
      yield* handle(batch, partition)
      yield* exchange("the bus", `commits offset ${from + batch.length} of ${topic}/${partition}`, () => {
        const current = w.broker.assignment(group, topic, partition)
        if (w.broker.life === life && current.member === me) current.offset = from + batch.length
      })
    } catch (error) {
      if (!(error instanceof Away)) throw error
      yield error.from === "the shard"
        ? { what: "tries again once the shard is open", until: () => w.redis.isOpen }
        : { what: "tries again", at: w.now + BACKOFF_MS }
    }
  }
}
