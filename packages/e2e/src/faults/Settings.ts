/** What the command line of the suite (`packages/stack/bin/faults.mjs`) says to its tests. */
import { randomBytes } from "node:crypto"

const { env } = process

/** The rows asked for, by number or by number and face; undefined: all. */
export const rows: ReadonlySet<string> | undefined = env["FAULTS_ROWS"]
  ? new Set(env["FAULTS_ROWS"].split(","))
  : undefined

export const times = Number(env["FAULTS_TIMES"] ?? 1)

/** `1/4`: of the repetitions, each fourth, from the first. */
const [part = 1, parts = 1] = (env["FAULTS_PART"] ?? "1/1").split("/").map(Number)

export const repetitions: ReadonlyArray<number> = Array.from({ length: times }, (_, i) => i + 1).filter(
  (i) => (i - 1) % parts === part - 1,
)

export const seed: string = env["FAULTS_SEED"] || randomBytes(4).toString("hex")

/** Where the results go as JSON. */
export const report: string | undefined = env["FAULTS_REPORT"] || undefined

/** Leaves the data folder and the logs of a stack behind. */
export const keep: boolean = env["FAULTS_KEEP"] === "1"
