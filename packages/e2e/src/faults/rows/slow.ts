/** Rows 15, 22, 24 and 26: dependencies that drip, are away, are full, or hold locks. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as mysql from "mysql2/promise"
import type { Answer } from "../../support/Edge.ts"
import { poll } from "../../support/Poll.ts"
import { holds } from "../Holds.ts"
import * as Metrics from "../Metrics.ts"
import { patient } from "../Patience.ts"
import type { Row, Trial } from "../Trial.ts"

/** The resident memory of a process, MiB. */
const residentMiB = (pid: number): number => {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8")
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024
}

const SERVICES = /^(edge|identity|inventory|ordering|payment)(-2)?$/

/** The memory of every service, by component; those that are gone are left out. */
const memory = async (trial: Trial): Promise<ReadonlyMap<string, number>> => {
  const found = new Map<string, number>()
  for (const [name, { pid }] of Object.entries(await trial.world.stack.status())) {
    if (pid === undefined || !SERVICES.test(name)) continue
    try {
      found.set(name, residentMiB(pid))
    } catch {
      // It ended meanwhile.
    }
  }
  return found
}

/** The slowest answer to anything while a database drips: the services' own deadlines, one after the other. */
const QUICK_MS = 6_000
const DRIP_MS = 12_000
const MOST_MORE_MIB = 250

const drip = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    habits: { perSecond: 30, percent: { wallet: 20, provider: 5, cancel: 10 } },
  })
  const before = await memory(trial)
  world.proxy("mysql").set({ latencyMs: 500, jitterMs: 100, bytesPerSecond: dice.between(8, 32) * 1024 })
  const fromMs = Date.now()
  const answers: Array<{
    readonly what: string
    readonly tookMs: number
    readonly answer: Answer | undefined
  }> = []
  const { token } = dice.pick(await world.buyers())
  const ask = async (what: string, call: () => Promise<Answer>) => {
    const began = Date.now()
    const answer = await call().catch(() => undefined)
    answers.push({ what, tookMs: Date.now() - began, answer })
  }
  let most = 0
  const limitMs = patient(QUICK_MS)
  while (Date.now() - fromMs < DRIP_MS) {
    const edge = dice.pick(world.edges)
    const number = dice.pick(sale.crowd.promised)
    const mine = sale.crowd.numbers.get(number)!.buyer.token
    await Promise.all([
      ask("an order", () => edge.get(`/orders/${number}`, { token: mine, timeoutMs: 2 * limitMs })),
      ask("the orders", () => edge.get("/orders", { token, timeoutMs: 2 * limitMs })),
      ask("the wallet", () => edge.get("/wallet", { token, timeoutMs: 2 * limitMs })),
      ask("a product", () => edge.get(`/product/${sale.productId}`, { timeoutMs: 2 * limitMs })),
      ask("a reservation", () =>
        edge.post("/seckill", { product_id: sale.productId, quantity: 9 }, { token, timeoutMs: 2 * limitMs }),
      ),
    ])
    for (const [name, mib] of await memory(trial)) most = Math.max(most, mib - (before.get(name) ?? mib))
  }
  await trial.heal()
  const slow = answers.filter(({ tookMs }) => tookMs > limitMs)
  holds(slow.length === 0, `${slow.length} answers took longer than ${limitMs} ms: ${slow[0]?.what}`)
  const silent = answers.filter(({ answer }) => answer === undefined)
  holds(silent.length === 0, `${silent.length} calls got no answer: ${silent[0]?.what}`)
  const odd = answers.filter(
    ({ answer }) => answer!.status >= 500 && !(answer!.status === 503 && answer!.headers.has("retry-after")),
  )
  holds(
    odd.length === 0,
    `${odd.length} answers that aren't 503 with a time to come back: ${odd[0]?.answer?.status}`,
  )
  holds(most <= MOST_MORE_MIB, `a service grew by ${Math.round(most)} MiB`)
  const busy = answers.filter(({ answer }) => answer!.status === 503).length
  const slowest = Math.max(...answers.map(({ tookMs }) => tookMs))
  trial.note(
    `${busy} of ${answers.length} answers were 503, the slowest after ${slowest} ms; at most ${Math.round(most)} MiB more`,
  )
}

const identityAway = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    habits: { perSecond: 25, percent: { wallet: 20, provider: 10, cancel: 10 } },
  })
  const frozen = dice.chance(0.5)
  for (const name of ["identity", "identity-2"]) {
    if (frozen) await world.freeze(name)
    else await world.stack.kill(name)
  }
  trial.note(`identity ${frozen ? "frozen" : "killed"}`)
  const fromMs = Date.now()
  // Longer than the edge's time between two looks at identity's keys would need to be for them to be forgotten.
  const login = await world.edges[0]!.post(
    "/login",
    { username: "alice", password: "floodgate-alice" },
    { timeoutMs: patient(15_000) },
  )
  holds(login.status === 503 && login.code === 530, `login was answered ${login.status}/${login.code}`)
  holds(login.headers.has("retry-after"), "login's 503 didn't say when to come back")
  await poll(
    "the sale goes on without identity",
    async () => sale.crowd.promisedSince(fromMs) >= 20,
    patient(20_000),
  )
  await sleep(Math.max(0, 8_000 - (Date.now() - fromMs)))
  await trial.heal()
  await poll(
    "people can sign in again",
    async () =>
      (
        await world.edges[0]!.post(
          "/login",
          { username: "alice", password: "floodgate-alice" },
          { timeoutMs: 10_000 },
        ).catch(() => undefined)
      )?.code === 0,
    patient(30_000),
  )
  trial.note(
    `${sale.crowd.promisedSince(fromMs)} promises without identity; login again after ${Date.now() - fromMs} ms`,
  )
}

/** A place that is full at once: 1 MiB of memory where we may mount, else files that are the device that is always full. */
const smallDisk = (folder: string) => {
  fs.mkdirSync(folder, { recursive: true })
  const ballast = path.join(folder, "ballast")
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" })
    return {
      how: "a full 1 MiB tmpfs",
      fill: () => {
        try {
          fs.writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
        } catch {
          // Full, as it shall be.
        }
      },
      free: () => fs.rmSync(ballast, { force: true }),
      remove: () => execFileSync("umount", ["-l", folder], { stdio: "ignore" }),
    }
  } catch {
    const files = LOGGING.map((name) => path.join(folder, `${name}.log`))
    for (const file of files) fs.symlinkSync("/dev/full", file)
    return {
      how: "/dev/full",
      fill: () => {},
      free: () => {
        for (const file of files) fs.rmSync(file)
      },
      remove: () => {},
    }
  }
}

/** The door, and those who have something to say of each order. */
const LOGGING = ["edge", "ordering", "ordering-2"]

interface LogLine {
  readonly level: string
  readonly msg: string
  readonly count?: number
}

/** The lines of a log, and those that aren't whole. */
const linesOf = (
  file: string,
): { readonly whole: ReadonlyArray<LogLine>; readonly torn: ReadonlyArray<string> } => {
  const whole: Array<LogLine> = []
  const torn: Array<string> = []
  for (const line of fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n") : []) {
    if (line === "") continue
    try {
      whole.push(JSON.parse(line) as LogLine)
    } catch {
      torn.push(line)
    }
  }
  return { whole, torn }
}

const SERVED = 40

const logFull = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const folder = path.join(world.stack.data, `full-${trial.dice.id()}`)
  const disk = smallDisk(folder)
  trial.note(disk.how)
  const fileOf = (name: string) => path.join(folder, `${name}.log`)
  try {
    // Every line goes there, as well as to its usual place.
    await Promise.all(LOGGING.map((name) => world.restart(name, { LOG_FILE: fileOf(name) })))
    const sale = await trial.rush({
      stock: 400,
      habits: { perSecond: 20, percent: { wallet: 30, provider: 0, cancel: 50 } },
    })
    disk.fill()
    const fromMs = Date.now()
    await poll(
      "requests are served, and orders end",
      async () => {
        const orders = await world.ledger.orders(sale.productId)
        const ended = orders.filter(({ state }) => state === "cancelled" || state === "paid").length
        return sale.crowd.promisedSince(fromMs) >= SERVED && ended >= SERVED
      },
      patient(40_000),
    )
    const status = await world.stack.status()
    for (const name of LOGGING) holds(status[name]!.state === "ready", `${name} is ${status[name]!.state}`)
    disk.free()
    trial.healed()
    const lost = await poll(
      "the logs tell of what they lost",
      async () =>
        LOGGING.flatMap((name) => linesOf(fileOf(name)).whole).find(
          ({ level, msg }) => level === "error" && msg === "log lines were lost",
        ),
      patient(20_000),
    )
    const counted = await Promise.all(
      (["edge", "ordering"] as const).map((service) =>
        Metrics.sum(world, service, "floodgate_log_lines_lost_total"),
      ),
    )
    const alerting = counted.reduce((total, n) => total + n, 0)
    holds(alerting > 0, "no process counts the lines that it lost: the alert can't fire")
    trial.note(`${lost.count} lines lost, and said so; ${alerting} counted for the alert`)
    for (const name of LOGGING) {
      // The disk may have ended within a line; what comes after begins one of its own.
      const { torn } = linesOf(fileOf(name))
      holds(torn.length <= 1, `${torn.length} lines of ${name}'s log are torn: ${torn[0]?.slice(0, 200)}`)
    }
    await sale.crowd.stop()
  } finally {
    await Promise.all(LOGGING.map((name) => world.restart(name)))
    disk.remove()
  }
}

interface LockCounters {
  readonly deadlocks: number
}

const lockCounters = async (trial: Trial): Promise<LockCounters> => {
  const rows = await trial.world.ledger.rows<{ Variable_name: string; Value: string }>(
    "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'",
  )
  if (rows[0] !== undefined) return { deadlocks: Number(rows[0].Value) }
  const metrics = await trial.world.ledger.rows<{ n: number }>(
    "SELECT `COUNT` AS n FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'",
  )
  return { deadlocks: Number(metrics[0]?.n ?? 0) }
}

const DEADLOCKS = 4
/** Services give up waiting for a lock after 3 s. */
const HELD_MS = 4_500
/**
 * Between two looks at who waits (ms): the engine takes `INNODB_TRX` anew only where nobody has read it for 100 ms, and
 * shows whoever asks more often the same old picture for ever.
 */
const LOOK_MS = 150
/** Rows of ours in a deadlock's transaction: the engine rolls back whoever has changed the least. */
const BALLAST_ROWS = 3_000

const locks = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    stock: 400,
    habits: { perSecond: 60, percent: { wallet: 25, provider: 10, cancel: 30 } },
  })
  const connection = await mysql.createConnection((await world.stack.status())["mysql"]!.url!)
  const before = await lockCounters(trial)
  let won = 0
  try {
    await connection.query("CREATE DATABASE IF NOT EXISTS faults_ballast")
    await connection.query(
      "CREATE TABLE IF NOT EXISTS faults_ballast.row_ (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB",
    )
    const rows = Array.from({ length: BALLAST_ROWS }, () => "(1)").join(",")
    // Everybody locks product, purchase, order in this order. This one begins at the end.
    for (let i = 0; won < DEADLOCKS && i < 40; i++) {
      await connection.query("SET SESSION innodb_lock_wait_timeout = 2")
      await connection.query("START TRANSACTION")
      try {
        await connection.query(`INSERT INTO faults_ballast.row_ (n) VALUES ${rows}`)
        const { deadlocks } = await lockCounters(trial)
        await connection.query("SELECT user_id FROM ordering.purchase WHERE product_id = ? FOR UPDATE", [
          sale.productId,
        ])
        // Time for somebody to take the product, and to wait for us.
        await sleep(dice.between(50, 200))
        await connection.query("SELECT id FROM inventory.product WHERE id = ? FOR UPDATE", [sale.productId])
        if ((await lockCounters(trial)).deadlocks > deadlocks) won++
      } catch (cause) {
        // This time the engine chose us, or nobody let go.
        if (!/deadlock|lock wait/i.test(String(cause))) throw cause
      } finally {
        await connection.query("ROLLBACK")
      }
      await trial.sometime(100, 400)
    }
    // And one that waits until it is told to give up.
    await connection.query("START TRANSACTION")
    await connection.query("SELECT id FROM inventory.product WHERE id = ? FOR UPDATE", [sale.productId])
    const heldAt = Date.now()
    let waited = 0
    while (Date.now() - heldAt < HELD_MS) {
      const [row] = await world.ledger.rows<{ ms: number }>(
        "SELECT COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, trx_wait_started, NOW(6))) DIV 1000, 0) AS ms FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'",
      )
      waited = Math.max(waited, Number(row!.ms))
      await sleep(LOOK_MS)
    }
    await connection.query("ROLLBACK")
    trial.healed()
    const { deadlocks } = await lockCounters(trial)
    trial.note(
      `${deadlocks - before.deadlocks} deadlocks, ${won} of them lost by a service; waited ${waited} ms for a lock`,
    )
    holds(won > 0, "no service ever lost a deadlock")
    holds(waited > 2_500, `nobody waited long for the product's lock: ${waited} ms`)
  } finally {
    await connection.query("DROP DATABASE IF EXISTS faults_ballast").catch(() => undefined)
    connection.destroy()
  }
}

export const slow: ReadonlyArray<Row> = [
  {
    number: 15,
    promise: "MySQL half a second away and dripping: quick 503, memory bounded, and the sale goes on",
    limitMs: 180_000,
    run: drip,
  },
  {
    number: 22,
    promise: "identity unreachable: those who are signed in go on buying, login says 530",
    limitMs: 120_000,
    run: identityAway,
  },
  {
    number: 24,
    promise: "the log's disk is full: requests are served, and the log says later what it lost",
    limitMs: 180_000,
    run: logFull,
  },
  {
    number: 26,
    promise: "services lose deadlocks and wait for locks in vain: bounded retries, nothing doubled",
    limitMs: 120_000,
    run: locks,
  },
]
