import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Child, type LaunchSpec } from "../process/Child.ts"
import * as Ports from "../process/Ports.ts"
import { BEHIND_THE_QUEUE } from "../Services.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

/** The broker's version: that of `ops/kafka/pom.xml`. */
const version = "4.2.0"

const image = `apache/kafka:${version}`

/** Where Maven puts the broker's jars, once per user. */
const jarFolder = (): string => Install.cacheFolder(`kafka-${version}`, "libs")

const haveJars = (): boolean => fs.existsSync(path.join(jarFolder(), `kafka_2.13-${version}.jar`))

const javaMajor = (): number => {
  try {
    const java = Install.findProgram("java")
    if (java === undefined) return 0
    const text = Install.output(java, ["--version"]) ?? ""
    return Number(/^\S+ (\d+)/.exec(text)?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Decides where a broker comes from. `none` isn't fatal: the Redis-Streams bus then takes its place. */
export const plan = async (): Promise<Install.Plan> => {
  const script = Install.findProgram("kafka-server-start", "kafka-server-start.sh")
  if (script !== undefined) return { how: "binary", target: script, why: script }
  const java = javaMajor()
  if (java >= 17 && haveJars()) return { how: "jars", why: `Java ${java}, jars in ${jarFolder()}` }
  const missing: Array<string> = []
  if (java < 17) missing.push(java === 0 ? "no Java" : `Java ${java} (17 is needed)`)
  const maven = Install.findProgram("mvn")
  if (maven === undefined) missing.push("no Maven")
  if (missing.length === 0) {
    if (!Install.installForbidden()) {
      return {
        how: "jars",
        why: `Java ${java}; Maven fetches the jars of Kafka ${version} (43 MB) into ${jarFolder()}`,
      }
    }
    missing.push("FLOODGATE_INSTALL=never forbids fetching its jars")
  }
  if (await Install.dockerAnswers())
    return { how: "docker", target: image, why: `${missing.join(", ")}; Docker runs ${image}` }
  return { how: "none", why: `no kafka-server-start, ${missing.join(", ")}, no Docker` }
}

/** A broker among several, each of which is a controller, too. */
export interface Member {
  /** Counts from 1. */
  readonly id: number
  /** The controllers' ports, in the order of the ids. */
  readonly controllerPorts: ReadonlyArray<number>
  /** A folder that all of them share, for the name of the cluster. */
  readonly clusterDir: string
}

/** How to run the broker. */
export interface Options {
  readonly dataDir: string
  readonly port: number
  readonly controllerPort: number
  /** The port that clients are told: that of somebody who passes on to `port`. Default: `port`. */
  readonly advertisedPort?: number
  /** Which broker of several this is; default: the only one. */
  readonly member?: Member
  readonly logFile: string
  readonly say: Install.Say
  /** The repository's root, for `ops/kafka/pom.xml`. */
  readonly root: string
  /** A file to which the classes are written when the broker stops: for making the archive only. */
  readonly rehearsal?: string
}

/** The value of KAFKA_BROKERS for a broker started by this module. */
export const brokers = (port: number): string => `127.0.0.1:${port}`

/** Fetches jars and formats the storage where needed, and says how to start the broker. Nothing runs afterwards. */
export const prepare = async (chosen: Install.Plan, options: Options): Promise<LaunchSpec> => {
  if (chosen.how === "none") throw new StackError(`no Kafka: ${chosen.why}`)
  fs.mkdirSync(options.dataDir, { recursive: true })
  const { member } = options
  const clusterDir = member?.clusterDir ?? options.dataDir
  fs.mkdirSync(clusterDir, { recursive: true })
  const common = {
    name: member === undefined || member.id === 1 ? "kafka" : `kafka-${member.id}`,
    logFile: options.logFile,
    isReady: () => answers(options.port, options.advertisedPort ?? options.port),
    readyTimeoutMs: 90_000,
    niceness: BEHIND_THE_QUEUE,
    stopTimeoutMs: 20_000,
  }
  if (chosen.how === "docker") {
    if (member !== undefined) throw new StackError("Several brokers need Kafka or Java on this machine.")
    await Install.dockerPull(image, options.say)
    const container = `floodgate-kafka-${options.port}`
    const variables = settings({ ...options, dataDir: "/var/lib/kafka/data", listenHost: "0.0.0.0" })
    return {
      ...common,
      command: "docker",
      args: [
        ...["run", "--rm", "--name", container, ...Install.dockerUser()],
        ...[
          "-p",
          `127.0.0.1:${options.port}:${options.port}`,
          "-v",
          `${options.dataDir}:/var/lib/kafka/data`,
        ],
        // The image turns KAFKA_A_B into the setting a.b.
        ...variables.flatMap(([key, value]) => [
          "-e",
          `KAFKA_${key.toUpperCase().replaceAll(".", "_")}=${value}`,
        ]),
        ...["-e", `CLUSTER_ID=${clusterId(clusterDir)}`],
        image,
      ],
      container,
    }
  }

  const file = path.join(options.dataDir, "server.properties")
  const storage = path.join(options.dataDir, "data")
  const lines = settings({ ...options, dataDir: storage, listenHost: "127.0.0.1" })
  fs.writeFileSync(file, `${lines.map(([key, value]) => `${key}=${value}`).join("\n")}\n`)
  const formatted = fs.existsSync(path.join(storage, "meta.properties"))

  if (chosen.how === "binary" && chosen.target !== undefined) {
    const folder = path.dirname(chosen.target)
    const tool = ["kafka-storage", "kafka-storage.sh"]
      .map((name) => path.join(folder, name))
      .find(fs.existsSync)
    if (tool === undefined) throw new StackError(`There is no kafka-storage beside ${chosen.target}.`)
    if (!formatted) {
      await Install.runProgram(tool, ["format", "-t", clusterId(clusterDir), "-c", file], {
        timeoutMs: 60_000,
      })
    }
    return {
      ...common,
      command: chosen.target,
      args: [file],
      cwd: options.dataDir,
      env: {
        ...process.env,
        KAFKA_HEAP_OPTS: process.env["KAFKA_HEAP_OPTS"] ?? "-Xmx512m",
        LOG_DIR: path.dirname(options.logFile),
      },
    }
  }

  const java = Install.findProgram("java")
  if (java === undefined) throw new StackError("Java is gone from the PATH.")
  await fetchJars(options)
  const classPath = path.join(jarFolder(), "*")
  const logging = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
  ]
  if (!formatted) await format(java, classPath, file, clusterId(clusterDir))
  return {
    ...common,
    command: java,
    args: [
      // One small broker among many processes: the light collector and the quick compiler start in half the time.
      ...[
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        ...(await sharing(java, options)),
        ...logging,
      ],
      ...["-cp", classPath, "kafka.Kafka", file],
    ],
    cwd: options.dataDir,
  }
}

const format = (java: string, classPath: string, file: string, cluster: string): Promise<void> =>
  Install.runProgram(
    java,
    ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classPath, "kafka.tools.StorageTool"].concat([
      "format",
      "-t",
      cluster,
      "-c",
      file,
    ]),
    { timeoutMs: 60_000 },
  )

/** How Java is told about the archive; one that doesn't fit (another Java) is ignored by Java itself. */
const sharing = async (java: string, options: Options): Promise<ReadonlyArray<string>> => {
  const quiet = ["-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
  if (options.rehearsal !== undefined) return [`-XX:ArchiveClassesAtExit=${options.rehearsal}`, ...quiet]
  const archive = await classArchive(java, options)
  return archive === undefined ? [] : [`-XX:SharedArchiveFile=${archive}`, "-Xshare:auto", ...quiet]
}

/**
 * The broker's loaded classes, as Java can map them (class data sharing): starts in half the time. Made once per user
 * and Java by a broker that starts and stops; undefined where that fails, which costs nothing but the time.
 */
const classArchive = async (java: string, options: Options): Promise<string | undefined> => {
  const javaVersion = createHash("sha256")
    .update(Install.output(java, ["--version"]) ?? "")
    .update(fs.realpathSync(java))
  const file = Install.cacheFolder(
    `kafka-${version}`,
    `classes-${javaVersion.digest("hex").slice(0, 12)}.jsa`,
  )
  if (fs.existsSync(file)) return file
  options.say("rehearsing Kafka's start (once), so that later ones take half the time")
  const folder = fs.mkdtempSync(path.join(path.dirname(file), "rehearsal-"))
  const rehearsal = path.join(folder, "classes.jsa")
  const [port, controllerPort] = await Promise.all([Ports.free(), Ports.free()])
  const logFile = path.join(folder, "kafka.log")
  try {
    const { member: _, advertisedPort: __, ...alone } = options
    const child = new Child(
      await prepare(
        { how: "jars", why: "" },
        { ...alone, dataDir: path.join(folder, "data"), port, controllerPort, logFile, rehearsal },
      ),
    )
    await child.start()
    await child.stop()
    fs.renameSync(rehearsal, file)
    return file
  } catch {
    return undefined
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const settings = (options: {
  readonly dataDir: string
  readonly port: number
  readonly controllerPort: number
  readonly advertisedPort?: number
  readonly member?: Member
  readonly listenHost: string
}): ReadonlyArray<readonly [string, string]> => {
  const { member } = options
  const copies = String(member === undefined ? 1 : Math.min(3, member.controllerPorts.length))
  const inSync = member === undefined ? "1" : "2"
  return [
    ["process.roles", "broker,controller"],
    ["node.id", String(member?.id ?? 1)],
    [
      "controller.quorum.voters",
      (member?.controllerPorts ?? [options.controllerPort])
        .map((port, i) => `${i + 1}@127.0.0.1:${port}`)
        .join(","),
    ],
    [
      "listeners",
      `PLAINTEXT://${options.listenHost}:${options.port},CONTROLLER://127.0.0.1:${options.controllerPort}`,
    ],
    ["advertised.listeners", `PLAINTEXT://127.0.0.1:${options.advertisedPort ?? options.port}`],
    ["listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"],
    ["controller.listener.names", "CONTROLLER"],
    ["inter.broker.listener.name", "PLAINTEXT"],
    ["log.dirs", options.dataDir],
    ["auto.create.topics.enable", "false"],
    ["offsets.topic.replication.factor", copies],
    // 50 partitions of offsets, the default, only slow down a single broker's first group.
    ["offsets.topic.num.partitions", "8"],
    ["transaction.state.log.replication.factor", copies],
    ["transaction.state.log.min.isr", inSync],
    ["transaction.state.log.num.partitions", "4"],
    ["share.coordinator.state.topic.replication.factor", copies],
    ["share.coordinator.state.topic.min.isr", inSync],
    ["min.insync.replicas", inSync],
    ["unclean.leader.election.enable", "false"],
    ["group.initial.rebalance.delay.ms", "0"],
    // After kill -9 a broker waits until its old session has ended: 4.4 s with these, 10.3 s with the defaults.
    ["broker.session.timeout.ms", "2000"],
    ["broker.heartbeat.interval.ms", "500"],
    ["log.retention.hours", "168"],
  ]
}

/** Kafka's form of a UUID (16 bytes, base64url), kept beside the data it names. */
const clusterId = (dataDir: string): string => {
  const file = path.join(dataDir, "cluster-id")
  if (!fs.existsSync(file)) {
    // Never a leading "-": the storage tool would take it for an option.
    fs.writeFileSync(file, `A${randomBytes(16).toString("base64url").slice(1)}`)
  }
  return fs.readFileSync(file, "utf8").trim()
}

const fetchJars = async (options: Options): Promise<void> => {
  if (haveJars()) return
  const maven = Install.findProgram("mvn")
  if (maven === undefined) throw new StackError("Maven is gone from the PATH.")
  const folder = jarFolder()
  options.say(`fetching Kafka ${version} (43 MB) with Maven into ${folder}`)
  fs.mkdirSync(path.dirname(folder), { recursive: true })
  const fetching = fs.mkdtempSync(path.join(path.dirname(folder), "fetching-"))
  try {
    await Install.runProgram(
      maven,
      [
        ...[
          "-q",
          "-B",
          "-f",
          path.join(options.root, "ops", "kafka", "pom.xml"),
          "dependency:copy-dependencies",
        ],
        ...["-DincludeScope=runtime", `-DoutputDirectory=${fetching}`],
      ],
      { timeoutMs: 300_000 },
    )
    try {
      fs.renameSync(fetching, folder)
    } catch (cause) {
      // Another process on this machine has fetched them meanwhile.
      if (!haveJars()) throw cause
    }
  } finally {
    fs.rmSync(fetching, { recursive: true, force: true })
  }
}

/** kafkajs takes 0.2 s to load, which most commands needn't spend. */
const answers = async (port: number, advertisedPort: number): Promise<boolean> => {
  const probe = await import("./KafkaProbe.ts")
  return probe.isReady(brokers(port), advertisedPort)
}
