/** Experiments on a real database: audited, by version, by their states, and in force on every edge within a second. */
import { assert, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as ExperimentStore from "./ExperimentStore.ts"
import * as Experiments from "./Experiments.ts"
import * as PeopleStore from "./PeopleStore.ts"

const database = TestMysql.layer({ migrations: ["edge"], main: "edge" })

const edge = Effect.gen(function* () {
  const store = yield* ExperimentStore.make
  const people = yield* PeopleStore.make
  const experiments = yield* Experiments.make.pipe(
    Effect.provideService(ExperimentStore.ExperimentStore, store),
    Effect.provideService(PeopleStore.PeopleStore, people),
  )
  return { store, people, experiments }
})

const by = { reason: "to learn something", actorId: 9 } as const

const draft = (key: string, more: Partial<ExperimentStore.Draft> = {}): ExperimentStore.Draft => ({
  key,
  kind: "storefront",
  status: "draft",
  salt: "salt",
  percentage: 100,
  allowUsers: [],
  variants: [
    { key: "control", weight: 1, config: {} },
    { key: "blue", weight: 1, config: { button: "blue" } },
  ],
  ...by,
  ...more,
})

const soon = (what: string, holds: () => boolean) =>
  Effect.gen(function* () {
    const beganMs = performance.now()
    while (!holds()) {
      yield* Effect.sleep(10)
      assert.isBelow(performance.now() - beganMs, 1_000, what)
    }
  })

const soonCounts = (people: PeopleStore.PeopleStore["Type"], key: string, expected: ReadonlyArray<object>) =>
  Effect.gen(function* () {
    const beganMs = performance.now()
    let counts = yield* people.count(key)
    while (JSON.stringify(counts) !== JSON.stringify(expected) && performance.now() - beganMs < 10_000) {
      yield* Effect.sleep(50)
      counts = yield* people.count(key)
    }
    assert.deepEqual(counts, expected)
  })

layer(database, { excludeTestServices: true })("experiments", (it) => {
  it.scoped(
    "are in force where they were made at once, on another edge within a second, and so is their end",
    () =>
      Effect.gen(function* () {
        const [here, there] = yield* Effect.all([edge, edge])
        yield* here.experiments.create(draft("buttons", { status: "running" }))
        assert.lengthOf(here.experiments.of(7), 1)
        yield* soon("the start", () => there.experiments.of(7).length === 1)
        for (let userId = 1; userId <= 200; userId++) {
          assert.deepStrictEqual(there.experiments.of(userId), here.experiments.of(userId))
          assert.strictEqual(
            there.experiments.label(userId),
            `buttons=${here.experiments.of(userId)[0]!.variant}`,
          )
        }
        yield* here.experiments.change({ key: "buttons", version: 1, percentage: 0, allowUsers: [7], ...by })
        yield* soon("fewer", () => there.experiments.of(8).length === 0)
        assert.lengthOf(there.experiments.of(7), 1)
        yield* there.experiments.change({ key: "buttons", version: 2, status: "stopped", ...by })
        assert.lengthOf(there.experiments.of(7), 0)
        yield* soon("the end", () => here.experiments.of(7).length === 0)
        assert.strictEqual(here.experiments.label(7), "")
      }),
  )

  it.scoped("rise in version, refuse a stale one, and each change leaves its line in the trail", () =>
    Effect.gen(function* () {
      const { store } = yield* edge
      const mysql = yield* Mysql
      const created = yield* store.create(draft("audited"))
      assert.deepInclude(created, { version: 1, status: "draft", percentage: 100 })
      const taken = yield* Effect.flip(store.create(draft("audited")))
      assert.deepInclude(taken, { _tag: "StaleVersion", version: 1 })
      const both = yield* Effect.all(
        [1.25, 2.5].map((percentage) =>
          Effect.either(store.change({ key: "audited", version: 1, percentage, ...by })),
        ),
        { concurrency: 2 },
      )
      assert.strictEqual(both.filter(({ _tag }) => _tag === "Right").length, 1)
      const unchanged = yield* store.change({ key: "audited", version: 2, salt: "salt", ...by })
      assert.strictEqual(unchanged.version, 2, "what changes nothing is no change")
      yield* store.change({ key: "audited", version: undefined, status: "running", ...by })
      const stopped = yield* store.change({ key: "audited", version: 3, status: "stopped", ...by })
      assert.approximately(stopped.stoppedMs!, Date.now(), 60_000)
      const lines = yield* mysql.run(
        "test",
        mysql.sql<{
          action: string
          before_json: string | null
          after_json: string
          reason: string
          actor_id: number
        }>`SELECT action, before_json, after_json, reason, actor_id FROM audit WHERE target_id = 'audited' ORDER BY id`,
      )
      assert.deepStrictEqual(
        lines.map(({ action }) => action),
        ["experiment.create", "experiment.change", "experiment.start", "experiment.stop"],
      )
      assert.strictEqual(lines[0]!.before_json, null)
      assert.strictEqual(JSON.parse(lines[2]!.before_json!).status, "draft")
      assert.deepInclude(JSON.parse(lines[3]!.after_json), {
        status: "stopped",
        salt: "salt",
        allow_users: [],
      })
      assert.deepInclude(lines[3], { reason: by.reason, actor_id: by.actorId })
      const missing = yield* Effect.flip(store.change({ key: "nobody", version: undefined, ...by }))
      assert.strictEqual(missing._tag, "NotFound")
    }),
  )

  it.scoped(
    "may change who is in while they run, but not what people are compared by; stopped is for good",
    () =>
      Effect.gen(function* () {
        const { store } = yield* edge
        const change = (more: Partial<ExperimentStore.Change>) =>
          store.change({ key: "states", version: undefined, ...by, ...more })
        const other = [{ key: "other", weight: 1, config: {} }]
        yield* store.create(draft("states"))
        yield* change({ variants: other, salt: "new", percentage: 5 })
        yield* change({ status: "running" })
        yield* change({ percentage: 10, allowUsers: [3], variants: other })
        for (const refused of [
          { salt: "newer" },
          { variants: [{ key: "other", weight: 2, config: {} }] },
          { status: "draft" as const },
        ]) {
          const error = yield* Effect.flip(change(refused))
          assert.deepInclude(error, { _tag: "WrongState", state: "running" }, JSON.stringify(refused))
        }
        yield* change({ status: "stopped" })
        assert.strictEqual((yield* change({ status: "stopped" })).status, "stopped")
        for (const refused of [{ status: "running" as const }, { percentage: 11 }]) {
          const error = yield* Effect.flip(change(refused))
          assert.deepInclude(error, { _tag: "WrongState", state: "stopped" }, JSON.stringify(refused))
        }
      }),
  )

  it.scoped("don't run beside another that changes the same thing", () =>
    Effect.gen(function* () {
      const { store } = yield* edge
      const variants = [{ key: "more", weight: 1, config: { name: "pay", rate: 3, burst: 11 } }]
      yield* store.create(draft("pay-1", { kind: "limit", status: "running", variants }))
      const refused = yield* Effect.flip(
        store.create(draft("pay-2", { kind: "limit", status: "running", variants })),
      )
      assert.strictEqual(refused._tag, "InvalidInput")
      yield* store.create(draft("pay-2", { kind: "limit", variants }))
      const start = store.change({ key: "pay-2", version: undefined, status: "running", ...by })
      assert.strictEqual((yield* Effect.flip(start))._tag, "InvalidInput")
      yield* store.change({ key: "pay-1", version: undefined, status: "stopped", ...by })
      assert.strictEqual((yield* start).status, "running")
      yield* store.change({ key: "pay-2", version: undefined, status: "stopped", ...by })
    }),
  )

  it.scoped("are listed newest first, by kind and status, page by page", () =>
    Effect.gen(function* () {
      const { store } = yield* edge
      for (const key of ["list-1", "list-2", "list-3"]) yield* store.create(draft(key, { kind: "risk" }))
      const all = yield* store.list({ kind: "risk", limit: 10 })
      assert.deepStrictEqual(
        all.map(({ key }) => key),
        ["list-3", "list-2", "list-1"],
      )
      const rest = yield* store.list({ kind: "risk", limit: 1, beforeId: all[0]!.id })
      assert.deepStrictEqual(
        rest.map(({ key }) => key),
        ["list-2"],
      )
      assert.lengthOf(yield* store.list({ kind: "risk", status: "running", limit: 10 }), 0)
      assert.lengthOf(yield* store.list({ kind: "risk", fromMs: Date.now() + 600_000, limit: 10 }), 0)
      assert.lengthOf(yield* store.list({ kind: "risk", toMs: Date.now() + 600_000, limit: 10 }), 3)
    }),
  )

  it.scoped(
    "set limits and modes for their users, and expose whoever is asked about, the control's people too",
    () =>
      Effect.gen(function* () {
        const { experiments, people } = yield* edge
        const epoch = experiments.limitsEpoch()
        yield* experiments.create(
          draft("gray-pay", {
            kind: "limit",
            status: "running",
            variants: [
              { key: "control", weight: 1, config: {} },
              { key: "tight", weight: 1, config: { name: "pay", rate: 1, burst: 3 } },
            ],
          }),
        )
        assert.isAbove(experiments.limitsEpoch(), epoch)
        const afterLimit = experiments.limitsEpoch()
        yield* experiments.create(
          draft("gray-rules", {
            kind: "risk",
            status: "running",
            variants: [
              { key: "control", weight: 1, config: {} },
              { key: "strict", weight: 1, config: { rules: [{ rule_id: 3, mode: "challenge" }] } },
            ],
          }),
        )
        assert.strictEqual(experiments.limitsEpoch(), afterLimit, "rules void no limits")
        let tight = 0
        let strict = 0
        for (let userId = 1; userId <= 100; userId++) {
          const variants = new Map(experiments.of(userId).map(({ key, variant }) => [key, variant]))
          const rate = experiments.limitOf("pay", userId)
          assert.strictEqual(rate?.burst, variants.get("gray-pay") === "tight" ? 3 : undefined)
          const modes = experiments.riskOverrides(userId)
          assert.strictEqual(modes.get(3), variants.get("gray-rules") === "strict" ? "challenge" : undefined)
          assert.isUndefined(experiments.limitOf("default", userId))
          if (rate !== undefined) tight++
          if (modes.size > 0) strict++
        }
        assert.isTrue(tight > 25 && tight < 75 && strict > 25 && strict < 75)
        yield* experiments.flush
        yield* soonCounts(people, "gray-pay", [
          { variant: 0, exposed: 100 - tight, accepted: 0, paid: 0, limited: 0 },
          { variant: 1, exposed: tight, accepted: 0, paid: 0, limited: 0 },
        ])
        yield* soonCounts(people, "gray-rules", [
          { variant: 0, exposed: 100 - strict, accepted: 0, paid: 0, limited: 0 },
          { variant: 1, exposed: strict, accepted: 0, paid: 0, limited: 0 },
        ])
        for (const key of ["gray-pay", "gray-rules"]) {
          yield* experiments.change({ key, version: undefined, status: "stopped", ...by })
        }
        assert.isUndefined(experiments.limitOf("pay", 1))
        assert.strictEqual(experiments.riskOverrides(1).size, 0)
      }),
  )

  it.scoped("count everybody once, whatever happens how often, on which edge, and in which order", () =>
    Effect.gen(function* () {
      const [here, there] = yield* Effect.all([edge, edge])
      const one = [{ key: "all", weight: 1, config: {} }]
      yield* here.experiments.create(draft("counted", { status: "running", variants: one }))
      yield* soon("the start", () => there.experiments.of(1).length > 0)
      for (let again = 0; again < 3; again++) {
        for (let userId = 1; userId <= 1_200; userId++) {
          // Paid before exposed, as far as the database sees; of every third nothing but the exposure.
          if (userId % 3 > 0) there.experiments.happened(userId, "accepted")
          if (userId % 3 > 1) there.experiments.happened(userId, "paid")
          if (again === 1) yield* there.experiments.flush
          assert.isTrue(here.experiments.expose("counted", userId))
          if (userId % 10 === 0) here.experiments.happened(userId, "limited")
        }
        // Somebody whom the page never told of.
        here.experiments.happened(5_000, "paid")
        yield* Effect.all([here.experiments.flush, there.experiments.flush], { concurrency: 2 })
      }
      const expected = [{ variant: 0, exposed: 1_200, accepted: 800, paid: 400, limited: 120 }]
      yield* soonCounts(here.people, "counted", expected)
      assert.isFalse(here.experiments.expose("nothing", 1))
    }),
  )

  it.scoped("are forgotten 90 days after their end, but for the numbers", () =>
    Effect.gen(function* () {
      const { experiments, people, store } = yield* edge
      const mysql = yield* Mysql
      const one = [{ key: "all", weight: 1, config: {} }]
      const { id } = yield* experiments.create(draft("old", { status: "running", variants: one }))
      for (let userId = 1; userId <= 30; userId++) experiments.expose("old", userId)
      experiments.happened(1, "paid")
      yield* experiments.flush
      const expected = [{ variant: 0, exposed: 30, accepted: 1, paid: 1, limited: 0 }]
      yield* soonCounts(people, "old", expected)
      yield* store.change({ key: "old", version: undefined, status: "stopped", ...by })
      const left = mysql
        .run(
          "test",
          mysql.sql<{
            n: number
          }>`SELECT COUNT(*) AS n FROM experiment_user WHERE experiment_id = ${id}`,
        )
        .pipe(Effect.map((rows) => rows[0]!.n))
      while (yield* people.forget);
      assert.strictEqual(yield* left, 30, "not yet")
      yield* mysql.run(
        "test",
        mysql.sql`UPDATE experiment SET stopped_at = stopped_at - INTERVAL 91 DAY WHERE id = ${id}`,
      )
      while (yield* people.forget);
      assert.strictEqual(yield* left, 0)
      assert.deepEqual(yield* people.count("old"), expected)
    }),
  )
})
