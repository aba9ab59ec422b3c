/** Six servers of this machine as a Redis Cluster: three primaries with equal shares of the slots, a replica each. */
import { setTimeout as sleep } from "node:timers/promises"
import { Redis } from "ioredis"
import { StackError } from "../StackError.ts"

const PRIMARIES = 3
const SLOTS = 16_384

/** Longest time for the nodes to find each other and for the replicas to be in step. */
const SETTLE_MS = 30_000

/**
 * The settings of a node. A primary that nobody hears for two seconds is replaced, and one without a replica in step
 * takes no writes: what it confirms has a second home.
 */
export const settings = (gossipPort: number): ReadonlyArray<string> => [
  ...["--cluster-enabled", "yes", "--cluster-port", String(gossipPort)],
  ...["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"],
  ...["--min-replicas-to-write", "1", "--min-replicas-max-lag", "3"],
  // A replica that was cut off for a moment comes back without a copy of everything.
  ...["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"],
]

/** What services are given as REDIS_URL. */
export const url = (ports: ReadonlyArray<number>): string =>
  `redis-cluster://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`

const infoOf = (text: string): ReadonlyMap<string, string> =>
  new Map(text.split("\r\n").map((line) => line.split(":", 2) as [string, string]))

const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + SETTLE_MS
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new StackError(`The Redis cluster didn't settle: ${what}.`)
    await sleep(50)
  }
}

/** Makes a cluster of servers that are none yet, and returns when every slot is served and every replica in step. */
export const form = async (
  nodes: ReadonlyArray<{ readonly port: number; readonly gossipPort: number }>,
): Promise<void> => {
  const clients = nodes.map(({ port }) => new Redis({ host: "127.0.0.1", port, maxRetriesPerRequest: 1 }))
  for (const client of clients) client.on("error", () => {})
  const call = (client: Redis, ...words: ReadonlyArray<string | number>) =>
    client.call("CLUSTER", ...words.map(String)) as Promise<string>
  const info = async (client: Redis) => infoOf(await call(client, "INFO"))
  try {
    const [first] = clients
    const known = await info(first!)
    if (known.get("cluster_slots_assigned") !== String(SLOTS)) {
      for (let i = 0; i < PRIMARIES; i++) {
        const bound = (at: number) => Math.round((at * SLOTS) / PRIMARIES)
        await call(clients[i]!, "SET-CONFIG-EPOCH", i + 1)
        await call(clients[i]!, "ADDSLOTSRANGE", bound(i), bound(i + 1) - 1)
      }
      for (const { port, gossipPort } of nodes.slice(1)) {
        await call(first!, "MEET", "127.0.0.1", port, gossipPort)
      }
      await until("not every node knows every other", async () => {
        const infos = await Promise.all(clients.map(info))
        return infos.every((each) => each.get("cluster_known_nodes") === String(nodes.length))
      })
      for (let i = PRIMARIES; i < nodes.length; i++) {
        const primary = await call(clients[i - PRIMARIES]!, "MYID")
        // A replica hears of a primary's slots by gossip, and refuses until then.
        await until(`node ${i + 1} doesn't become a replica`, async () => {
          await call(clients[i]!, "REPLICATE", primary)
          return true
        })
      }
    }
    await until("a slot isn't served, or a replica isn't in step", async () => {
      const states = await Promise.all(
        clients.map(
          async (client) => [await info(client), infoOf(await client.info("replication"))] as const,
        ),
      )
      return states.every(
        ([cluster, replication]) =>
          cluster.get("cluster_state") === "ok" &&
          (replication.get("role") === "slave"
            ? replication.get("master_link_status") === "up"
            : replication.get("connected_slaves") !== "0"),
      )
    })
  } finally {
    for (const client of clients) client.disconnect()
  }
}
