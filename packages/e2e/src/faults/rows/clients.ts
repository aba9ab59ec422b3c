/** Rows 16, 21 and 27: what clients meet while answers are lost, processes come and go, and keys change. */
import { setTimeout as sleep } from "node:timers/promises"
import { FaultProxy } from "@floodgate/runtime/testing/FaultProxy"
import { type Answer, type Call, Edge } from "../../support/Edge.ts"
import { inParallel, poll } from "../../support/Poll.ts"
import type { Wish } from "../Crowd.ts"
import { insist, saleAt } from "../Crowds.ts"
import { Doorman } from "../Doorman.ts"
import { holds } from "../Holds.ts"
import { factor, patient } from "../Patience.ts"
import type { Row, Trial } from "../Trial.ts"

const isReserve = (request: Buffer): boolean =>
  request.subarray(0, 14).toString("latin1") === "POST /seckill "

/** An edge by way of a proxy, for as long as there is one. */
class Door extends Edge {
  readonly #behind: Edge
  #isBroken = true

  constructor(proxy: FaultProxy, behind: Edge) {
    super(`http://127.0.0.1:${proxy.port}`)
    this.#behind = behind
  }

  repair(): void {
    this.#isBroken = false
  }

  override call(method: string, path: string, call?: Call): Promise<Answer> {
    return this.#isBroken ? super.call(method, path, call) : this.#behind.call(method, path, call)
  }
}

/** Every third answer to a reservation is lost on its way to the client. */
const LOST_SHARE = 0.34
const REPLAYS = 20
const KEYLESS = 20

const lostReplies = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const lossy = await Promise.all(
    world.edges.map(({ url }) => FaultProxy.open({ host: "127.0.0.1", port: Number(new URL(url).port) })),
  )
  const doors = lossy.map((proxy, i) => new Door(proxy, world.edges[i]!))
  try {
    const chance = dice.fork("losses")
    for (const proxy of lossy)
      proxy.loseAnswers(Number.POSITIVE_INFINITY, (chunk) => isReserve(chunk) && chance.chance(LOST_SHARE))
    const sale = await saleAt(trial, doors, { habits: { perSecond: 40, wishes: 250 } })
    sale.crowd.start()
    await poll("everybody has asked", async () => sale.crowd.left === 0, patient(40_000))
    await sale.crowd.stop()
    const lost = sale.crowd.wishes.filter(({ requests }) => requests.some(({ told }) => told === "lost"))
    holds(lost.length > 0, "no answer was lost")

    // The same key once more, at an edge that has never seen it: the same number.
    const kept = dice.shuffle(
      sale.crowd.wishes.filter(({ requests }) => requests.at(-1)?.told === "promised"),
    )
    await inParallel(4, kept.slice(0, REPLAYS), async (wish) => {
      const told = wish.requests.at(-1)!.order_num
      const again = await insist(() => reserve(dice.pick(world.edges), sale.productId, wish), patient(10_000))
      holds(again?.status === 202, `a repeated wish was answered ${again?.status}/${again?.code}`)
      holds(again.data.order_num === told, `a repeated wish was told ${again.data.order_num}, before ${told}`)
    })

    // Without a key: the repetition is a wish of its own, above the limit, and is told the number it may look for.
    const once = await saleAt(trial, doors, { perUserLimit: 1, habits: { wishes: 0 } })
    for (const proxy of lossy) proxy.loseAnswers(Number.POSITIVE_INFINITY, isReserve)
    const buyers = dice.shuffle(await world.buyers()).slice(0, KEYLESS)
    const found = await inParallel(4, buyers, async (buyer) => {
      const wish: Wish = {
        buyer,
        key: "",
        quantity: 1,
        edge: dice.pick(doors),
        afterwards: "leave",
        requests: [],
        deeds: [],
      }
      const before = await reserve(wish.edge, once.productId, wish).catch(() => undefined)
      holds(before === undefined, "an answer came through that was to be lost")
      const again = await insist(() => reserve(dice.pick(world.edges), once.productId, wish), patient(10_000))
      const request = { atMs: Date.now(), tookMs: 0, order_num: undefined, text: "" }
      wish.requests.push(
        { ...request, told: "lost", status: 0, code: 0 },
        { ...request, told: "refused", status: again?.status ?? 0, code: again?.code ?? 0 },
      )
      once.crowd.wishes.push(wish)
      holds(
        again?.status === 409 && again.code === 511,
        `without a key the repetition was answered ${again?.status}/${again?.code}`,
      )
      const number: unknown = again.data?.order_num
      holds(typeof number === "string", "511 didn't tell the number")
      return { buyer, number }
    })
    for (const door of doors) door.repair()
    for (const { buyer, number } of found) {
      const order = await world.edges[0]!.settled(number, buyer.token, "unpaid")
      holds(order.order_num === number, `${number} is another order`)
    }
    trial.note(`${lost.length} wishes lost an answer, ${KEYLESS} more without a key`)
    trial.healed()
  } finally {
    for (const door of doors) door.repair()
    for (const proxy of lossy) await proxy.close()
  }
}

const reserve = (edge: Edge, productId: number, wish: Wish) =>
  edge.post(
    "/seckill",
    { product_id: productId, quantity: wish.quantity },
    { token: wish.buyer.token, timeoutMs: 5_000, ...(wish.key === "" ? {} : { key: wish.key }) },
  )

const RESTARTS = 20
/** A process that is told to stop ends itself after so long. */
const STOP_MS = 10_000
/** Processes that wait for each core: beyond it, ten seconds of this machine are none. */
const BUSY = 3

const rolling = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const doorman = new Doorman(world.edges)
  try {
    // Somebody asks all the time, however long it takes: where one crowd is through, the next one begins.
    const ask = async () => {
      const sale = await saleAt(trial, [doorman], {
        stock: 1_200,
        perUserLimit: 10,
        habits: { perSecond: 16, percent: { wallet: 25, provider: 5, cancel: 15 } },
      })
      sale.crowd.start()
      await trial.promised(sale, 10)
      return sale
    }
    let sale = await ask()
    const services = ["edge", "identity", "inventory", "ordering", "payment"]
    const pairs = services.flatMap((service) => [service, `${service}-2`])
    const order = [...dice.shuffle(pairs), ...dice.shuffle(pairs)].slice(0, RESTARTS)
    const slowest = { name: "", ms: 0 }
    const bad: Array<string> = []
    const forced: Array<string> = []
    for (const name of order) {
      if (sale.crowd.left < 100) sale = await ask()
      const began = Date.now()
      await world.stack.stop(name)
      const ms = Date.now() - began
      if (ms > slowest.ms) Object.assign(slowest, { name, ms })
      const { last_exit } = (await world.stack.status())[name]!
      // Stopping ends itself with another code after 10 s, which this machine may be too busy for.
      if (last_exit !== "code 0")
        (ms > STOP_MS && factor() > BUSY ? forced : bad).push(
          `${name} ended with ${last_exit} after ${ms} ms`,
        )
      await world.restart(name)
    }
    trial.healed()
    trial.note(`${order.length} restarts, the slowest stop ${slowest.name} ${slowest.ms} ms`)
    const broken = [...doorman.broken].map(([code, count]) => `${count} ${code}`)
    trial.note(`connections: ${broken.length === 0 ? "none broken" : broken.join(", ")}`)
    holds(bad.length === 0, bad.join("; "))
    await Promise.all(trial.sales.map(({ crowd }) => crowd.stop()))
    // Who is ended by force hangs up on whoever is being served: nothing is lost by it, and that alone is held here.
    if (forced.length > 0) return trial.note(`reported only, on a busy machine: ${forced.join("; ")}`)
    const refused = doorman.broken.get("ECONNREFUSED") ?? 0
    holds(refused === 0, `${refused} connections were refused`)
    const reset = [...doorman.broken].filter(([code]) => code !== "TimeoutError" && code !== "late")
    holds(reset.length === 0, `connections were broken: ${broken.join(", ")}`)
  } finally {
    doorman.close()
  }
}

const rotation = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 30 } })
  const before = await world.edges[0]!.newcomer()
  const answers: Array<number> = []
  let going = true
  // Old and new tokens, at both edges, all the time.
  const tokens = [before.token]
  const asking = Promise.all(
    world.edges.map(async (edge) => {
      while (going) {
        for (const token of tokens) {
          const answer = await edge.get("/orders", { token, timeoutMs: 5_000 }).catch(() => undefined)
          if (answer !== undefined) answers.push(answer.status)
        }
        await sleep(20)
      }
    }),
  )
  try {
    // A key that waits to sign is told again, so that the command may be repeated.
    const kid = await poll(
      "there is a new key",
      async () => {
        const said = await world.stack.command(["keys", "rotate"]).catch(() => "")
        return /Key (\S+) is published/.exec(said)?.[1]
      },
      patient(20_000),
    )
    // A token of a key that nobody has makes an edge look for newer ones, and identity look at its own.
    const [header = "", claims = "", signature = ""] = before.token.split(".")
    const nudge = async () => {
      const unknown = { ...JSON.parse(Buffer.from(header, "base64url").toString()), kid: trial.dice.id() }
      const token = [Buffer.from(JSON.stringify(unknown)).toString("base64url"), claims, signature].join(".")
      for (const edge of world.edges) {
        const answer = await edge.get("/orders", { token, timeoutMs: 5_000 }).catch(() => undefined)
        holds(
          answer === undefined || [401, 503].includes(answer.status),
          `a token of nobody's key was answered ${answer?.status}`,
        )
      }
      await sleep(1_000)
    }
    const published = async () => {
      await nudge()
      return (
        await Promise.all(
          world.edges.map(async ({ url }) => {
            const keys = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as {
              keys: ReadonlyArray<{ kid: string }>
            }
            return keys.keys.some((key) => key.kid === kid)
          }),
        )
      ).every(Boolean)
    }
    await poll("both edges have the new key", published, patient(40_000))
    // It has been published for long enough; the rest of its minute is skipped.
    await world.ledger.rows(
      "UPDATE identity.signing_key SET signs_from = UTC_TIMESTAMP(3) + INTERVAL 500000 MICROSECOND WHERE kid = ?",
      [kid],
    )
    const kidOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()).kid
    await poll(
      "the new key signs",
      async () => {
        await nudge()
        const { token } = await world.edges[0]!.newcomer()
        if (tokens.length < 4) tokens.push(token)
        return kidOf(token) === kid
      },
      patient(60_000),
    )
    await trial.sometime(500, 1500)
  } finally {
    going = false
    await asking
  }
  trial.healed()
  const refused = answers.filter((status) => status === 401)
  holds(refused.length === 0, `${refused.length} of ${answers.length} good tokens were refused`)
  trial.note(`${answers.length} uses of ${tokens.length} tokens of two keys`)
  await sale.crowd.stop()
}

export const clients: ReadonlyArray<Row> = [
  {
    number: 16,
    promise:
      "replies to reservations are lost: the same key gets the same answer, without a key 511 tells the number",
    limitMs: 120_000,
    run: lostReplies,
  },
  {
    number: 21,
    promise:
      "20 rolling restarts under a burst: nothing that got a 2xx is lost, no connection refused, exit 0 within 10 s",
    limitMs: 1_800_000,
    run: rolling,
  },
  {
    number: 27,
    promise: "a new signing key during traffic: no good token is refused, old or new",
    limitMs: 180_000,
    run: rotation,
  },
]
