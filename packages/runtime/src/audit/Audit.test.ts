import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { CallContext } from "../grpc/GrpcServer.ts"
import * as MysqlModule from "../mysql/Mysql.ts"
import { Mysql } from "../mysql/Mysql.ts"
import { inject } from "../testing/Injected.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import * as Audit from "./Audit.ts"
import * as AuditHead from "./AuditHead.ts"
import * as AuditList from "./AuditList.ts"
import * as Grants from "./Grants.ts"
import * as HeadFile from "./HeadFile.ts"
import * as Sealer from "./Sealer.ts"
import * as Verify from "./Verify.ts"
import * as VerifyDatabase from "./VerifyDatabase.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-audit-"))
const ddl = new URL("./audit.sql", import.meta.url)
fs.mkdirSync(path.join(folder, "migrations"))
fs.copyFileSync(ddl, path.join(folder, "migrations", "0001_audit.sql"))

const database = TestMysql.layer({
  migrations: [{ name: "audited", dir: path.join(folder, "migrations") }],
  main: "audited",
  mysql: { maxConnections: 24 },
})
const quiet = Logger.withMinimumLogLevel(LogLevel.None)

const key = AuditHead.signingKey(Redacted.make("dev-only-audit-key-of-the-tests"))
const stranger = AuditHead.signingKey(Redacted.make("dev-only-audit-key-of-a-stranger"))
const service = "ordering"

const newFile = () => path.join(folder, `${crypto.randomUUID()}.jsonl`)

/** A sealer that looks often; closing the scope stops it in order. */
const sealer = (headFile: string, more: Partial<Sealer.SealerOptions> = {}) =>
  Sealer.make({ service, key, headFile, everyMs: 20, ...more })

/** Runs sealers while `self` does, and stops them in order. */
const sealing = <A, E, R>(
  headFile: string,
  self: Effect.Effect<A, E, R>,
  more?: Partial<Sealer.SealerOptions>,
) => Effect.scoped(Effect.zipRight(sealer(headFile, more), self))

const row = (n: number, more: Partial<Audit.AuditRow> = {}): Audit.AuditRow => ({
  actorId: 7,
  action: "order.cancel",
  targetType: "order",
  targetId: `order-${n}`,
  before: { state: "unpaid" },
  after: { state: "cancelled", note: '“quoted” \\ " 龙 😀 \u0000' },
  reason: `because ${n}`,
  ...more,
})

const commit = (...rows: ReadonlyArray<Audit.AuditRow>) =>
  Effect.flatMap(Mysql, (mysql) => mysql.transaction("test", Audit.append(rows)))

const query = <A = Record<string, any>>(text: string, params: ReadonlyArray<unknown> = []) =>
  Effect.flatMap(Mysql, (mysql) => mysql.run("query", mysql.sql.unsafe<A & object>(text, [...params])))

class NotYet extends Data.TaggedError("NotYet")<{ readonly what: string }> {}

const eventually = <E, R>(what: string, check: Effect.Effect<boolean, E, R>) =>
  Effect.filterOrFail(
    check,
    (is) => is,
    () => new NotYet({ what }),
  ).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 1_000 }))

const count = (table: string) =>
  Effect.map(query<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`), ([found]) => found!.n)

const sealed = (rows: number) =>
  eventually(
    `${rows} seals`,
    Effect.map(count("audit_seal"), (n) => n === rows),
  )

/** What a verification of the database finds. */
const findings = (headFile: string, trusted = [key]) =>
  Effect.gen(function* () {
    const lines = yield* HeadFile.read(headFile)
    const checked = Verify.checkHeads(lines, new Set(trusted.map(({ publicKey }) => publicKey)))
    const report = yield* VerifyDatabase.run({
      service,
      heads: checked.heads.filter((head) => head.service === service),
    })
    return { report, kinds: [...checked.findings, ...report.findings].map(({ kind }) => kind) }
  })

/** Twelve rows, sealed; heads signed before and after them; the sealer has stopped. */
const honest = Effect.gen(function* () {
  const headFile = newFile()
  yield* sealing(
    headFile,
    Effect.gen(function* () {
      yield* eventually(
        "the first head",
        Effect.map(HeadFile.read(headFile), (lines) => lines.length === 1),
      )
      for (let n = 0; n < 4; n++) yield* commit(row(3 * n), row(3 * n + 1), row(3 * n + 2))
      yield* sealed(12)
    }),
  )
  assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
  return headFile
})

/** Seals everything anew, as someone who knows the code but not the key would. */
const recompute = Effect.gen(function* () {
  yield* query("DELETE FROM audit_seal")
  yield* query("UPDATE audit_lease SET floor_id = 0")
  const rows = yield* count("audit")
  const elsewhere = newFile()
  yield* sealing(elsewhere, sealed(rows), { key: stranger })
})

const times = (n: number) => Array.from({ length: n }, (_, i) => i)

describe("Audit.append", () => {
  it.scopedLive("a row is there if and only if its transaction committed, as it was written", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      yield* mysql
        .transaction("undone", Effect.zipRight(Audit.append([row(1)]), Effect.fail("no")))
        .pipe(Effect.flip)
      yield* commit(
        row(2, {
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
          requestId: "r".repeat(64),
        }),
      )
      const [found, ...others] = yield* query("SELECT * FROM audit")
      assert.deepStrictEqual(others, [])
      assert.deepInclude(found, {
        actor_id: 7,
        target_id: "order-2",
        before_json: '{"state":"unpaid"}',
        after_json: JSON.stringify(row(2).after),
        reason: "because 2",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        request_id: "r".repeat(64),
      })
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("it carries the trace of the current span, and a request's action is recorded once", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      const asked = (action: string) => mysql.run("t", Audit.isRecorded(action, "request-1"))
      assert.isFalse(yield* asked("user.ban"))
      yield* Effect.withSpan("click")(commit(row(1, { action: "user.ban", requestId: "request-1" })))
      assert.isTrue(yield* asked("user.ban"))
      assert.isFalse(yield* asked("user.unban"))
      const [found] = yield* query("SELECT trace_id FROM audit")
      assert.match(found!["trace_id"], /^[0-9a-f]{32}$/)
      const again = yield* Effect.flip(commit(row(2, { action: "user.ban", requestId: "request-1" })))
      assert.deepInclude(again, { _tag: "MysqlDuplicateKey", key: "audit_request" })
      yield* commit(row(3, { requestId: "" }), row(4, { requestId: "" }))
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a state that is too large is a defect, and nothing is written", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(commit(row(1, { after: "x".repeat(20_000) })))
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die")
      assert.strictEqual(yield* count("audit"), 0)
    }).pipe(Effect.provide(database), quiet),
  )

  it("every service's migration is the trail as it stands here", () => {
    const packages = path.resolve(import.meta.dirname, "../../..")
    for (const name of ["edge", "identity", "inventory", "ordering", "payment"]) {
      const dir = path.join(packages, name, "migrations")
      const files = fs.readdirSync(dir).filter((file) => file.endsWith("_audit.sql"))
      assert.lengthOf(files, 1, name)
      assert.strictEqual(
        fs.readFileSync(path.join(dir, files[0]!), "utf8"),
        fs.readFileSync(ddl, "utf8"),
        name,
      )
    }
  })
})

describe("Sealer", () => {
  it.scopedLive(
    "rows that are committed out of order are all sealed, each once, by two sealers at a time",
    () =>
      Effect.gen(function* () {
        const mysql = yield* Mysql
        const headFile = newFile()
        yield* sealer(headFile)
        yield* sealer(headFile)
        // Ten transactions whose ids come first and whose commits come last; a few never commit at all.
        const gate = yield* Deferred.make<void>()
        const early = yield* Effect.forEach(times(10), (n) =>
          Effect.fork(
            mysql
              .transaction(
                "early",
                Audit.append([row(n), row(n)]).pipe(
                  Effect.zipRight(Deferred.await(gate)),
                  Effect.zipRight(n % 3 === 0 ? Effect.fail("no") : Effect.void),
                ),
              )
              .pipe(Effect.ignore),
          ),
        )
        yield* Effect.sleep("300 millis")
        yield* Effect.forEach(times(60), (n) => commit(row(100 + n)), { concurrency: 8 })
        yield* sealed(60)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.joinAll(early)
        yield* Effect.forEach(times(60), (n) => commit(row(200 + n)), { concurrency: 8 })
        yield* sealed(132)
        const [sums] = yield* query(
          "SELECT COUNT(DISTINCT audit_id) AS n, MIN(seq) AS first, MAX(seq) AS last FROM audit_seal",
        )
        assert.deepInclude(sums, { n: 132, first: 1, last: 132 })
        const { report, kinds } = yield* findings(headFile)
        assert.deepStrictEqual(kinds, [])
        assert.deepInclude(report, { links: 132, waiting: 0 })
      }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a sealer that lost its lease seals nothing; its successor goes on where it was", () =>
    Effect.gen(function* () {
      const headFile = newFile()
      yield* sealer(headFile)
      yield* commit(row(1))
      yield* sealed(1)
      yield* query(
        "UPDATE audit_lease SET owner = 'thief', epoch = epoch + 1, expires_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR",
      )
      yield* commit(row(2), row(3))
      yield* Effect.sleep("400 millis")
      assert.strictEqual(yield* count("audit_seal"), 1)
      yield* query("UPDATE audit_lease SET expires_at = UTC_TIMESTAMP(3) WHERE owner = 'thief'")
      yield* sealed(3)
      assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive(
    "one that stops seals what there is, signs the head, and gives the lease to another at once",
    () =>
      Effect.gen(function* () {
        const headFile = newFile()
        const scope = yield* Scope.make()
        yield* sealer(headFile, { everyMs: 60_000 }).pipe(Scope.extend(scope))
        yield* eventually(
          "a holder",
          Effect.map(query("SELECT 1 FROM audit_lease WHERE owner <> ''"), (rows) => rows.length === 1),
        )
        yield* Effect.sleep("200 millis")
        yield* commit(row(1), row(2))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* count("audit_seal"), 2)
        const lines = yield* HeadFile.read(headFile)
        assert.deepInclude(lines.at(-1)!.head, { service, seq: 2 })
        assert.strictEqual(fs.statSync(headFile).mode & 0o777, 0o600)
        yield* sealing(headFile, Effect.zipRight(commit(row(3)), sealed(3)))
        assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
        const [lease] = yield* query("SELECT floor_id FROM audit_lease")
        assert.strictEqual(lease!["floor_id"], 3)
      }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("heads are signed as time goes by, and not over a chain that doesn't fit the last one", () =>
    Effect.gen(function* () {
      const headFile = newFile()
      const heads = Effect.map(HeadFile.read(headFile), (lines) => lines.length)
      yield* sealing(
        headFile,
        Effect.gen(function* () {
          for (const n of [1, 2, 3]) {
            yield* commit(row(n))
            yield* eventually(
              `head ${n}`,
              Effect.map(heads, (found) => found >= n + 1),
            )
          }
        }),
        { headEveryMs: 50 },
      )
      assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
      const before = yield* heads
      yield* recompute
      yield* query("UPDATE audit SET actor_id = 1 WHERE id = 1")
      yield* recompute
      yield* sealing(headFile, Effect.zipRight(commit(row(9)), sealed(4)), { headEveryMs: 50 })
      assert.strictEqual(yield* heads, before)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a backlog of thousands is sealed in one go", () =>
    Effect.gen(function* () {
      yield* commit(...times(1_700).map((n) => row(n)))
      const headFile = newFile()
      yield* sealing(headFile, sealed(1_700), { everyMs: 60_000 })
      assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
    }).pipe(Effect.provide(database), quiet),
  )
})

describe("verification", () => {
  const tampered = (
    what: string,
    tamper: (headFile: string) => Effect.Effect<unknown, any, Mysql>,
    expected: ReadonlyArray<Verify.FindingKind>,
  ) =>
    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const headFile = yield* honest
        yield* tamper(headFile)
        assert.deepStrictEqual((yield* findings(headFile)).kinds, expected)
      }).pipe(Effect.provide(database), quiet),
    )

  for (const [column, value] of Object.entries({
    at: "'2026-01-01 00:00:00.000'",
    actor_id: "8",
    action: "'order.pay'",
    target_type: "'user'",
    target_id: "'order-99'",
    before_json: "NULL",
    after_json: "'{}'",
    reason: "''",
    trace_id: "REPEAT('a', 32)",
    request_id: "'x'",
  })) {
    tampered(
      `shows a changed ${column}`,
      () => query(`UPDATE audit SET ${column} = ${value} WHERE id = 12`),
      column === "at" ? ["row_changed", "row_backdated"] : ["row_changed"],
    )
  }

  tampered("shows a row that was deleted", () => query("DELETE FROM audit WHERE id = 5"), ["row_deleted"])

  tampered(
    "shows a row that was deleted with its seal",
    () =>
      Effect.zipRight(
        query("DELETE FROM audit WHERE id = 5"),
        query("DELETE FROM audit_seal WHERE audit_id = 5"),
      ),
    ["seal_deleted"],
  )

  tampered(
    "shows that the newest rows were cut off with their seals",
    () =>
      Effect.zipRight(
        query("DELETE FROM audit WHERE id > 10"),
        query("DELETE FROM audit_seal WHERE audit_id > 10"),
      ),
    ["chain_cut"],
  )

  tampered(
    "shows two rows that changed places",
    () =>
      Effect.all([
        query("UPDATE audit_seal SET audit_id = 99 WHERE seq = 4"),
        query("UPDATE audit_seal SET audit_id = 4 WHERE seq = 5"),
        query("UPDATE audit_seal SET audit_id = 5 WHERE seq = 4"),
      ]),
    ["row_changed", "row_changed"],
  )

  tampered(
    "shows a row that was slipped into the past, and stays without a seal",
    (headFile) =>
      Effect.gen(function* () {
        yield* query("DELETE FROM audit WHERE id = 12")
        yield* query("DELETE FROM audit_seal WHERE audit_id = 12")
        yield* query(
          `INSERT INTO audit (id, at, actor_id, action, target_type, target_id, reason)
           VALUES (12, UTC_TIMESTAMP(3) - INTERVAL 1 DAY, 7, 'order.cancel', 'order', 'x', '')`,
        )
        yield* query("UPDATE audit_lease SET floor_id = 12")
        yield* Effect.sync(() => fs.writeFileSync(headFile, ""))
      }),
    ["row_unsealed"],
  )

  tampered(
    "shows a row that was slipped into the past, and sealed as if it were new",
    (headFile) =>
      Effect.gen(function* () {
        yield* query(
          `INSERT INTO audit (at, actor_id, action, target_type, target_id, reason)
           VALUES (UTC_TIMESTAMP(3) - INTERVAL 1 HOUR, 7, 'order.cancel', 'order', 'x', '')`,
        )
        yield* sealing(headFile, sealed(13))
      }),
    ["row_backdated"],
  )

  tampered(
    "shows a row that was given no seal while others were",
    () =>
      Effect.gen(function* () {
        yield* query(
          `INSERT INTO audit (at, actor_id, action, target_type, target_id, reason)
           VALUES (UTC_TIMESTAMP(3) - INTERVAL 1 HOUR, 7, 'order.cancel', 'order', 'x', '')`,
        )
      }),
    ["row_unsealed"],
  )

  tampered(
    "shows a chain that was computed anew over a changed row",
    () => Effect.zipRight(query("UPDATE audit SET reason = 'another' WHERE id = 3"), recompute),
    ["chain_recomputed"],
  )

  tampered(
    "shows a chain that was computed anew and cut",
    () => Effect.zipRight(query("DELETE FROM audit WHERE id = 3"), recompute),
    ["chain_cut"],
  )

  tampered(
    "shows a head that was signed with another key",
    (headFile) =>
      Effect.gen(function* () {
        const lines = yield* HeadFile.read(headFile)
        const last = lines.at(-1)!
        yield* HeadFile.append(
          headFile,
          AuditHead.format({ ...last.head!, previous: AuditHead.fingerprint(last.text) }, stranger),
        )
      }),
    ["head_forged"],
  )

  tampered(
    "shows a head whose hash was changed",
    (headFile) =>
      Effect.sync(() => {
        const text = fs.readFileSync(headFile, "utf8").trimEnd().split("\n")
        const last = JSON.parse(text.at(-1)!)
        text[text.length - 1] = JSON.stringify({ ...last, hash: "0".repeat(64) })
        fs.writeFileSync(headFile, `${text.join("\n")}\n`)
      }),
    ["head_forged"],
  )

  tampered(
    "shows a line that is no head, and one that was taken out",
    (headFile) =>
      Effect.sync(() => {
        const text = fs.readFileSync(headFile, "utf8").trimEnd().split("\n")
        assert.lengthOf(text, 2)
        fs.writeFileSync(headFile, `${text.slice(1).join("\n")}\n{"service":"ordering"}\n`)
      }),
    ["head_missing", "head_forged"],
  )

  tampered("shows that the tables are gone", () => query("DROP TABLE audit_seal"), ["table_missing"])

  it.scopedLive("shows that heads stopped being written, or that the sealer doesn't run", () =>
    Effect.gen(function* () {
      const at = (hours: number) =>
        query(
          `INSERT INTO audit (at, actor_id, action, target_type, target_id, reason)
           VALUES (UTC_TIMESTAMP(3) - INTERVAL ${hours} HOUR, 7, 'order.cancel', 'order', 'x', '')`,
        )
      yield* at(5)
      yield* at(1)
      const headFile = newFile()
      const before = yield* findings(headFile)
      assert.deepStrictEqual(before.kinds, ["row_unsealed"])
      yield* sealing(newFile(), sealed(2))
      assert.deepStrictEqual((yield* findings(headFile)).kinds, ["head_missing"])
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("finds nothing in an empty trail, nor in rows that still wait for the sealer", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* findings(newFile())).kinds, [])
      yield* commit(row(1), row(2))
      const { report, kinds } = yield* findings(newFile())
      assert.deepStrictEqual(kinds, [])
      assert.deepInclude(report, { links: 0, waiting: 2 })
    }).pipe(Effect.provide(database), quiet),
  )
})

describe("the service's database user", () => {
  it.scopedLive("appends and seals, and can't change or delete what it wrote", () =>
    Effect.gen(function* () {
      const schema = yield* TestMysql.schema("audited")
      yield* query("CREATE TABLE thing (id INT NOT NULL PRIMARY KEY)")
      const user = `t${crypto.randomBytes(5).toString("hex")}`
      const password = crypto.randomBytes(12).toString("hex")
      const account = `'${user}'@'%'`
      yield* Effect.acquireRelease(query(`CREATE USER ${account} IDENTIFIED BY '${password}'`), () =>
        Effect.ignore(query(`DROP USER ${account}`)),
      )
      // As stacks of an earlier time granted it.
      yield* query(
        `GRANT SELECT, INSERT, UPDATE, DELETE ON \`${schema.replace("_", "\\_")}\`.* TO ${account}`,
      )
      const tables = yield* query<{ name: string }>(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()",
      )
      for (let round = 0; round < 2; round++) {
        for (const statement of Grants.statements(
          schema,
          tables.map(({ name }) => name),
          account,
        )) {
          yield* query(statement)
        }
      }
      const url = new URL(inject("mysqlUrl"))
      url.username = user
      url.password = password
      url.pathname = `/${schema}`
      const own = Layer.scoped(
        Mysql,
        MysqlModule.make({ url: Config.succeed(Redacted.make(url.href)), deadlineMs: 20_000 }),
      )
      const headFile = newFile()
      yield* Effect.gen(function* () {
        yield* sealing(headFile, Effect.zipRight(commit(row(1), row(2)), sealed(2)))
        for (const forbidden of [
          "UPDATE audit SET reason = '' WHERE id = 1",
          "DELETE FROM audit WHERE id = 1",
          "REPLACE INTO audit (id, actor_id, action, target_type, target_id, reason) VALUES (1, 1, 'a', 'b', 'c', '')",
          "INSERT INTO audit (id, actor_id, action, target_type, target_id, reason) VALUES (1, 1, 'a', 'b', 'c', '') ON DUPLICATE KEY UPDATE reason = ''",
          "TRUNCATE TABLE audit",
          "DROP TABLE audit",
          "ALTER TABLE audit ADD COLUMN x INT",
          "UPDATE audit_seal SET hash = REPEAT('0', 64)",
          "DELETE FROM audit_seal",
          "TRUNCATE TABLE audit_seal",
          "DELETE FROM schema_migration",
        ]) {
          assert.isTrue(Exit.isFailure(yield* Effect.exit(query(forbidden))), forbidden)
        }
        yield* query("INSERT INTO thing (id) VALUES (1)")
        yield* query("UPDATE thing SET id = 2")
        yield* query("DELETE FROM thing")
        assert.deepStrictEqual((yield* findings(headFile)).kinds, [])
      }).pipe(Effect.provide(own))
    }).pipe(Effect.provide(database), quiet),
  )
})

describe("ListAudit", () => {
  const caller = (...roles: ReadonlyArray<string>): CallContext => ({
    caller: { user_id: 1, username: "someone", roles },
    peer: "edge",
    deadlineMs: Date.now() + 10_000,
  })
  const request = {
    $typeName: "floodgate.audit.v1.ListAuditRequest" as const,
    action: "",
    target: "",
    fromMs: 0n,
    toMs: 0n,
    pageSize: 0,
    pageToken: "",
  }
  type Request = Parameters<typeof AuditList.handler>[0]
  const list = (more: Partial<Request>, context = caller("auditor")) =>
    Effect.map(AuditList.handler({ ...request, ...more }, context), (answer) => ({
      ids: (answer.entries ?? []).map(({ id }) => Number(id)),
      entries: answer.entries ?? [],
      next: answer.nextPageToken ?? "",
    }))

  it.scopedLive("shows the trail newest first, by actor, action, target and time, page by page", () =>
    Effect.gen(function* () {
      const insert = (at: string, actor: number, action: string, type: string, id: string) =>
        query(
          "INSERT INTO audit (at, actor_id, action, target_type, target_id, reason) VALUES (?, ?, ?, ?, ?, '')",
          [at, actor, action, type, id],
        )
      yield* insert("2026-03-01 00:00:00.000", 1, "user.ban", "user", "9")
      yield* insert("2026-03-01 00:00:00.001", 1, "user.unban", "user", "9")
      yield* insert("2026-03-01 00:00:00.001", 0, "order.create", "product", "9")
      yield* insert("2026-03-01 00:00:00.001", 0, "order.create", "product", "8")
      // Committed late: its id is higher than its time.
      yield* insert("2026-02-01 00:00:00.000", 2, "user.ban", "user", "8")

      assert.deepStrictEqual((yield* list({})).ids, [4, 3, 2, 1, 5])
      assert.deepStrictEqual((yield* list({ actorId: 1n })).ids, [2, 1])
      assert.deepStrictEqual((yield* list({ actorId: 0n, action: "order.create" })).ids, [4, 3])
      assert.deepStrictEqual((yield* list({ action: "user.ban" })).ids, [1, 5])
      assert.deepStrictEqual((yield* list({ target: "9" })).ids, [3, 2, 1])
      assert.deepStrictEqual((yield* list({ target: "user:9" })).ids, [2, 1])
      const from = BigInt(Date.parse("2026-03-01T00:00:00.000Z"))
      assert.deepStrictEqual((yield* list({ fromMs: from })).ids, [4, 3, 2, 1])
      assert.deepStrictEqual((yield* list({ toMs: from })).ids, [5])
      assert.deepStrictEqual((yield* list({ fromMs: from, toMs: from + 1n })).ids, [1])

      const walked: Array<number> = []
      let pageToken = ""
      do {
        const page = yield* list({ pageSize: 2, pageToken })
        walked.push(...page.ids)
        pageToken = page.next
      } while (pageToken !== "")
      assert.deepStrictEqual(walked, [4, 3, 2, 1, 5])

      const [entry] = (yield* list({ action: "user.ban", actorId: 2n })).entries
      assert.deepInclude(entry, {
        atMs: from - 28n * 86_400_000n,
        targetType: "user",
        hash: "",
        beforeJson: "",
      })
      yield* sealing(newFile(), sealed(5))
      assert.match((yield* list({ target: "user:8" })).entries[0]!.hash!, /^[0-9a-f]{64}$/)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("only for whoever may read it, and only what makes sense", () =>
    Effect.gen(function* () {
      for (const context of [caller("operator", "risk", "finance"), { ...caller(), caller: undefined }]) {
        assert.deepInclude(yield* Effect.flip(list({}, context)), {
          _tag: "Forbidden",
          permission: "audit:read",
        })
      }
      for (const bad of [
        { pageSize: 101 },
        { pageToken: "x" },
        { target: "a b" },
        { fromMs: -1n },
        { toMs: 10n ** 18n },
        { actorId: 2n ** 60n },
      ]) {
        assert.strictEqual((yield* Effect.flip(list(bad)))._tag, "InvalidInput")
      }
      assert.deepStrictEqual((yield* list({}, caller("admin"))).ids, [])
    }).pipe(Effect.provide(database), quiet),
  )
})
