/** `stack audit verify`: whether the audit trails are what was written. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as HeadFile from "@floodgate/runtime/audit/HeadFile"
import * as Verify from "@floodgate/runtime/audit/Verify"
import * as VerifyDatabase from "@floodgate/runtime/audit/VerifyDatabase"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Databases from "../Databases.ts"
import { type Environment, given } from "../Engines.ts"
import { runEffect } from "../RunEffect.ts"
import * as Secrets from "../Secrets.ts"
import { type Database, databases } from "../Services.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import { auditHeadFile } from "../supervisor/Supervisor.ts"
import { print, type Setting } from "./Setting.ts"

/** Databases that have an audit trail: those whose migrations make one. */
const audited = (root: string): ReadonlyArray<Database> =>
  databases.filter((name) => {
    const folder = path.join(root, "packages", name, "migrations")
    return fs.existsSync(folder) && fs.readdirSync(folder).some((file) => file.endsWith("_audit.sql"))
  })

/** Where the databases are: as the environment says (all of MYSQL_URL_<SERVICE>), else, in dev, the running stack's. */
const urlsOf = async (
  setting: Setting,
  names: ReadonlyArray<Database>,
): Promise<ReadonlyMap<Database, string>> => {
  const { env, dataDir } = setting
  const said = names.flatMap((name) => {
    const url = given(env, `MYSQL_URL_${name.toUpperCase()}`)
    return url === undefined ? [] : [[name, url] as const]
  })
  if (said.length === names.length) return new Map(said)
  const isDev = (given(env, "APP_ENV") ?? "dev") === "dev"
  if (!isDev || said.length > 0) {
    const missing = names.filter((name) => !said.some(([known]) => known === name))
    throw new StackError(`Missing: ${missing.map((name) => `MYSQL_URL_${name.toUpperCase()}`).join(", ")}`)
  }
  const { mysql } = (await Control.ask(dataDir, "GET", "/status")) as Status
  if (mysql?.url === undefined) throw new StackError(`The stack in ${dataDir} runs no MySQL.`)
  const admin = mysql.url
  return new Map(names.map((name) => [name, Databases.withDatabase(admin, name)]))
}

/** In dev, what the stack's services were told; the environment wins. */
const settings = ({ env, root, dataDir }: Setting): Environment => {
  const isDev = (given(env, "APP_ENV") ?? "dev") === "dev"
  const kept = isDev && fs.existsSync(path.join(dataDir, "secrets"))
  const said = Object.fromEntries(Object.entries(env).filter(([key]) => given(env, key) !== undefined))
  return {
    ...(kept ? { AUDIT_KEY: Secrets.load(dataDir).AUDIT_KEY, AUDIT_HEAD_FILE: auditHeadFile(dataDir) } : {}),
    ...said,
    FLOODGATE_ROOT: root,
  }
}

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n")
}

/** Verifies every service's trail, prints what it found, and answers 1 where it found anything. */
export const verify = async (setting: Setting): Promise<number> => {
  const names = audited(setting.root)
  const urls = await urlsOf(setting, names)
  const { checked, reports } = await runEffect(
    Effect.gen(function* () {
      const { headFile, trusted } = yield* AppConfig.load(
        Config.all({ headFile: AuditConfig.headFile, trusted: AuditConfig.trusted }),
      )
      // Before the databases: a head that is signed meanwhile may speak of links that aren't looked at.
      const checked = Verify.checkHeads(yield* HeadFile.read(headFile), trusted)
      const reports = yield* Effect.forEach([...urls], ([service, url]) =>
        Effect.gen(function* () {
          const mysql = yield* Mysql.make({
            url: Config.succeed(Redacted.make(url)),
            maxConnections: 1,
            deadlineMs: 60_000,
          })
          return yield* VerifyDatabase.run({
            service,
            heads: checked.heads.filter((head) => head.service === service),
          }).pipe(Effect.provideService(Mysql.Mysql, mysql))
        }).pipe(Effect.scoped),
      )
      return { checked, reports }
    }).pipe(Effect.withConfigProvider(Provider.make(settings(setting)))),
  )
  const findings = [...checked.findings, ...reports.flatMap((report) => report.findings)]
  print(
    table([
      ["trail", "rows sealed", "waiting", "heads", "last head", "verdict"],
      ...reports.map((report) => {
        const found =
          report.found + checked.findings.filter(({ service }) => service === report.service).length
        return [
          report.service,
          String(report.links),
          String(report.waiting),
          String(report.heads),
          report.lastHeadAtMs === undefined ? "none" : new Date(report.lastHeadAtMs).toISOString(),
          found === 0 ? "ok" : `${found} found`,
        ]
      }),
    ]),
  )
  if (findings.length === 0) return 0
  print("")
  for (const { kind, service, detail } of findings) print(`  ${kind}  ${service}: ${detail}`)
  const more = reports.reduce((sum, report) => sum + report.found - report.findings.length, 0)
  if (more > 0) print(`  and ${more} more`)
  return 1
}
