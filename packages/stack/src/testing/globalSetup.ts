/**
 * Vitest's global set-up: real engines for every test of the repository, started once, private to this run.
 *
 * - `inject("mysqlUrl")`: administrator's URL without a database, `mysql://root@127.0.0.1:<port>`.
 * - `inject("kafkaBrokers")`: value for KAFKA_BROKERS, or undefined; then `inject("kafkaMissing")` says why.
 * - `inject("redisServerBinary")`: a program to start with argv0 "redis-server"; each test file runs its own.
 *
 * FLOODGATE_TEST_MYSQL_URL and FLOODGATE_TEST_KAFKA_BROKERS name engines that run already.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"
import * as Kafka from "../engines/Kafka.ts"
import * as MariaDb from "../engines/MariaDb.ts"
import * as RedisServer from "../engines/RedisServer.ts"
import { Child } from "../process/Child.ts"
import * as Ports from "../process/Ports.ts"
import * as Watchdog from "../process/Watchdog.ts"
import { StackError } from "../StackError.ts"

declare module "vitest" {
  export interface ProvidedContext {
    mysqlUrl: string
    kafkaBrokers: string | undefined
    kafkaMissing: string | undefined
    redisServerBinary: string
  }
}

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../..")

const say = (line: string): void => {
  process.stderr.write(`engines: ${line}\n`)
}

/** Starts what the environment doesn't name; the returned function stops it. A killed Vitest takes it along. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-test-"))
  Watchdog.removeAtDeath(folder)
  const children: Array<Child> = []
  const teardown = async (): Promise<void> => {
    // The data goes with them, so nobody need be polite.
    for (const child of children) child.kill()
    await Promise.all(children.map((child) => child.exited))
    fs.rmSync(folder, { recursive: true, force: true })
  }
  const launch = async (child: Child): Promise<void> => {
    children.push(child)
    await child.start()
  }

  const mysql = async (): Promise<string> => {
    const given = process.env["FLOODGATE_TEST_MYSQL_URL"]
    if (given !== undefined && given !== "") return given
    const port = await Ports.free()
    const spec = await MariaDb.prepare(await MariaDb.plan(), {
      dataDir: path.join(folder, "mysql"),
      port,
      logFile: path.join(folder, "mysql.log"),
      say,
      durable: false,
    })
    await launch(new Child(spec))
    return MariaDb.rootUrl(port)
  }

  const kafka = async (): Promise<{ brokers?: string; missing?: string }> => {
    const given = process.env["FLOODGATE_TEST_KAFKA_BROKERS"]
    if (given !== undefined && given !== "") return { brokers: given }
    const plan = await Kafka.plan()
    if (plan.how === "none") return { missing: plan.why }
    const [port, controllerPort] = await Promise.all([Ports.free(), Ports.free()])
    const spec = await Kafka.prepare(plan, {
      dataDir: path.join(folder, "kafka"),
      port,
      controllerPort,
      logFile: path.join(folder, "kafka.log"),
      say,
      root,
    })
    await launch(new Child(spec))
    return { brokers: Kafka.brokers(port) }
  }

  const redis = async (): Promise<string> => {
    const binary = RedisServer.binary(await RedisServer.install(await RedisServer.plan(), say))
    if (binary === undefined) {
      throw new StackError(
        "The tests start, stop and kill Redis servers of their own, and need its program on this machine.",
      )
    }
    return binary
  }

  try {
    // Redis first: its installation and MariaDB's would wait for each other's lock.
    const redisServerBinary = await redis()
    const [mysqlUrl, bus] = await Promise.all([mysql(), kafka()])
    if (bus.missing !== undefined) say(`no Kafka (${bus.missing}): its tests are skipped`)
    project.provide("mysqlUrl", mysqlUrl)
    project.provide("kafkaBrokers", bus.brokers)
    project.provide("kafkaMissing", bus.missing)
    project.provide("redisServerBinary", redisServerBinary)
  } catch (cause) {
    await teardown()
    throw cause
  }
  return teardown
}
