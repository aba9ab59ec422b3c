import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as AppConfig from "./AppConfig.ts"
import * as EnvFile from "./EnvFile.ts"
import * as Ports from "./Ports.ts"
import * as Provider from "./Provider.ts"

const STRONG = "k".repeat(AppConfig.SECRET_MIN_LENGTH)

/** A folder laid out like the repository, gone at the end. */
const folder = (files: Record<string, string>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "floodgate-config-"))
      for (const [name, content] of Object.entries(files)) {
        Fs.mkdirSync(Path.dirname(Path.join(root, name)), { recursive: true })
        Fs.writeFileSync(Path.join(root, name), content)
      }
      return root
    }),
    (root) => Effect.sync(() => Fs.rmSync(root, { recursive: true, force: true })),
  )

const read = <A>(config: Config.Config<A>, env: Provider.Environment) =>
  Effect.provide(AppConfig.load(config), Provider.layerTest({ FLOODGATE_ROOT: "/nonexistent", ...env }))

const issues = <A>(config: Config.Config<A>, env: Provider.Environment) =>
  Effect.map(Effect.flip(read(config, env)), (error) => error.issues)

const service = Config.all({
  mysql: AppConfig.redactedUrl("MYSQL_URL_ORDERING"),
  redis: AppConfig.redactedUrl("REDIS_URL"),
  orderNumKey: AppConfig.secret("ORDER_NUM_KEY"),
  callbacks: AppConfig.secretList("PAYMENT_CALLBACK_SECRETS_SANDBOX"),
  keys: AppConfig.secretJsonFile("JWT_KEYS_FILE"),
  credential: AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
  brokers: Config.nonEmptyString("KAFKA_BROKERS"),
  sandbox: AppConfig.devDefault(Config.string("SANDBOX_URL"), "http://127.0.0.1:8090"),
  inventory: AppConfig.peer("inventory"),
  port: AppConfig.port("ordering"),
})

describe("AppConfig.load", () => {
  it.scoped("names every development secret and every missing key of prod in one error", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "jwt.json": '{"environment":"dev","keys":[]}' })
      const error = yield* Effect.flip(
        read(service, {
          APP_ENV: "prod",
          FLOODGATE_ROOT: root,
          MYSQL_URL_ORDERING: "mysql://ordering:dev-only-pw@db:3306/ordering",
          ORDER_NUM_KEY: "dev-only-order-number-key-0123456789",
          PAYMENT_CALLBACK_SECRETS_SANDBOX: `${STRONG},tooshort`,
          JWT_KEYS_FILE: "jwt.json",
        }),
      )
      assert.strictEqual(error._tag, "ConfigInvalid")
      assert.deepStrictEqual(error.issues, [
        "MYSQL_URL_ORDERING: prod refuses a development password",
        "REDIS_URL: is missing",
        "ORDER_NUM_KEY: prod refuses a development secret",
        "PAYMENT_CALLBACK_SECRETS_SANDBOX: prod needs a secret of at least 32 characters",
        "JWT_KEYS_FILE: prod refuses jwt.json, which is marked for dev",
        "SERVICE_CREDENTIAL_FILE: is missing",
        "KAFKA_BROKERS: is missing",
        "SANDBOX_URL: is missing",
        "INVENTORY_URL: is missing",
        "ORDERING_PORT: is missing (or: PORT_BASE: is missing)",
      ])
      for (const issue of error.issues) assert.include(error.message, issue)
      assert.notInclude(error.message, "dev-only-order-number-key")
      assert.notInclude(error.message, "tooshort")
    }),
  )

  it.effect("says once what several keys have in common", () =>
    Effect.gen(function* () {
      const found = yield* issues(
        Config.all([AppConfig.secret("A"), AppConfig.secret("B"), AppConfig.appEnv]),
        {
          APP_ENV: "production",
          A: STRONG,
          B: STRONG,
        },
      )
      assert.deepStrictEqual(found, ['APP_ENV: must be dev, stage or prod, not "production"'])
    }),
  )
})

describe("secrets", () => {
  it.effect("dev takes short and marked ones, and never shows them", () =>
    Effect.gen(function* () {
      const value = yield* read(AppConfig.secret("ORDER_NUM_KEY"), { ORDER_NUM_KEY: "dev-only-x" })
      assert.strictEqual(Redacted.value(value), "dev-only-x")
      assert.strictEqual(JSON.stringify({ value }), '{"value":"<redacted>"}')
    }),
  )

  it.effect("stage is as strict as prod", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* issues(AppConfig.secret("K"), { APP_ENV: "stage", K: "short" }), [
        "K: stage needs a secret of at least 32 characters",
      ])
      const strong = yield* read(AppConfig.secret("K"), { APP_ENV: "stage", K: STRONG })
      assert.strictEqual(Redacted.value(strong), STRONG)
    }),
  )

  it.effect("a URL's password is hidden, and its length isn't judged", () =>
    Effect.gen(function* () {
      const url = yield* read(AppConfig.redactedUrl("U"), { APP_ENV: "prod", U: "redis-cluster://a:1,b:2" })
      assert.strictEqual(Redacted.value(url), "redis-cluster://a:1,b:2")
      assert.deepStrictEqual(yield* issues(AppConfig.redactedUrl("U"), { U: "localhost:6379" }), [
        "U: must be a URL, scheme://…",
      ])
    }),
  )

  it.effect("a list needs one, and is split at commas", () =>
    Effect.gen(function* () {
      const list = yield* read(AppConfig.secretList("L"), { APP_ENV: "prod", L: `${STRONG}1, ${STRONG}2` })
      assert.deepStrictEqual(list.map(Redacted.value), [`${STRONG}1`, `${STRONG}2`])
      assert.deepStrictEqual(yield* issues(AppConfig.secretList("L"), { L: "," }), [
        "L: needs at least one secret",
      ])
    }),
  )
})

describe("secretJsonFile", () => {
  it.scoped("yields the parsed file, found from the root", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "keys/a.json": '{"environment":"prod","keys":["x"]}' })
      const json = yield* read(AppConfig.secretJsonFile("F"), {
        APP_ENV: "prod",
        FLOODGATE_ROOT: root,
        F: "keys/a.json",
      })
      assert.deepStrictEqual(json, { environment: "prod", keys: ["x"] })
    }),
  )

  it.scoped("names its key when the file is absent, isn't JSON, or is for dev; never its content", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "bad.json": "hush-hush", "dev.json": '{"environment":"dev"}' })
      const of = (F: string, APP_ENV = "prod") =>
        issues(AppConfig.secretJsonFile("F"), { APP_ENV, FLOODGATE_ROOT: root, F })
      assert.deepStrictEqual(yield* of("none.json"), [`F: ${root}/none.json can't be read (ENOENT)`])
      assert.deepStrictEqual(yield* of("bad.json", "dev"), ["F: bad.json isn't JSON"])
      assert.deepStrictEqual(yield* of("dev.json"), ["F: prod refuses dev.json, which is marked for dev"])
      const inDev = yield* read(AppConfig.secretJsonFile("F"), { FLOODGATE_ROOT: root, F: "dev.json" })
      assert.deepStrictEqual(inDev, { environment: "dev" })
    }),
  )
})

describe("the provider", () => {
  it.scoped("prefers the environment, then KEY_FILE's content, then the environment's file", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        "ops/config/stage.env": "# a comment\nA=from-file\nB=from-file\nC = 'from file'\n",
        "secret.txt": "from-key-file\n",
      })
      const env = {
        APP_ENV: "stage",
        FLOODGATE_ROOT: root,
        A: "from-env",
        A_FILE: "secret.txt",
        B_FILE: "secret.txt",
      }
      const values = yield* read(
        Config.all([Config.string("A"), Config.string("B"), Config.string("C")]),
        env,
      )
      assert.deepStrictEqual(values, ["from-env", "from-key-file", "from file"])
    }),
  )

  it.effect("takes an empty value for an absent one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* issues(Config.string("A"), { A: " " }), ["A: is missing"])
    }),
  )

  it.effect("names the key whose file can't be read", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* issues(AppConfig.secret("A"), { A_FILE: "/nonexistent/a" }), [
        "A_FILE: /nonexistent/a can't be read (ENOENT)",
      ])
    }),
  )

  it.scoped("refuses an environment's file with lines it can't read", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "ops/config/dev.env": "A=1\nnonsense\nA=2\n" })
      const found = yield* issues(Config.all([Config.string("A"), Config.string("B")]), {
        FLOODGATE_ROOT: root,
      })
      assert.deepStrictEqual(found, [
        `${root}/ops/config/dev.env: line 2, 3 isn't KEY=value, or repeats a key`,
      ])
    }),
  )

  it.effect("splits lists for Config.array", () =>
    Effect.gen(function* () {
      const list = yield* read(Config.array(Config.string(), "CORS_ORIGINS"), {
        CORS_ORIGINS: "http://a, http://b",
      })
      assert.deepStrictEqual(list, ["http://a", "http://b"])
    }),
  )
})

describe("the files of the repository", () => {
  const text = (name: string) =>
    Fs.readFileSync(Path.resolve(import.meta.dirname, "../../../..", name), "utf8")

  it("can be read, and those of stage and prod hold no secret and no address", () => {
    for (const name of [
      "ops/config/dev.env",
      "ops/config/stage.env",
      "ops/config/prod.env",
      ".env.example",
    ]) {
      assert.deepStrictEqual(EnvFile.parse(text(name)).malformedLines, [], name)
    }
    for (const name of ["ops/config/stage.env", "ops/config/prod.env"]) {
      for (const [key, value] of EnvFile.parse(text(name)).values) {
        assert.notMatch(key, /SECRET|KEY|CREDENTIAL|URL/, name)
        assert.notInclude(value, "://", name)
      }
    }
  })

  it("the example names every key that the others set", () => {
    const example = EnvFile.parse(text(".env.example")).values
    for (const name of ["ops/config/dev.env", "ops/config/stage.env", "ops/config/prod.env"]) {
      for (const key of EnvFile.parse(text(name)).values.keys()) {
        assert.isTrue(example.has(key) || example.has(`${key}_FILE`), `${key} of ${name}`)
      }
    }
  })
})

describe("ports and peers", () => {
  it.effect("are the base plus an offset, unless one is given", () =>
    Effect.gen(function* () {
      const ports = Config.all([
        AppConfig.port("edge"),
        AppConfig.port("orderingOps"),
        AppConfig.peer("payment"),
      ])
      assert.deepStrictEqual(yield* read(ports, {}), [8080, 8103, "127.0.0.1:8084"])
      const moved = { PORT_BASE: "9000", ORDERING_OPS_PORT: "7", PAYMENT_URL: "dns:///payment:81" }
      assert.deepStrictEqual(yield* read(ports, moved), [9000, 7, "dns:///payment:81"])
    }),
  )

  it.effect("refuse what isn't one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* issues(AppConfig.port("edge"), { EDGE_PORT: "1e3" }), [
        "EDGE_PORT: must be a port from 1 to 65535",
      ])
      assert.deepStrictEqual(
        yield* issues(AppConfig.peer("identity"), { IDENTITY_URL: "http://identity:1" }),
        ["IDENTITY_URL: must be host:port, without a scheme; several, ip:port,ip:port"],
      )
      // Several are told by address: each name might stand for the same ones.
      const several = "10.0.0.1:8081,10.0.0.2:8081"
      assert.strictEqual(yield* read(AppConfig.peer("identity"), { IDENTITY_URL: several }), several)
      assert.lengthOf(yield* issues(AppConfig.peer("identity"), { IDENTITY_URL: "a:1,b:2" }), 1)
      assert.lengthOf(yield* issues(AppConfig.peer("identity"), { IDENTITY_URL: "10.0.0.1:1,[::1]:2" }), 1)
    }),
  )

  it("no two ports meet, not even those of nine instances", () => {
    const services = ["edge", "identity", "inventory", "ordering", "payment", "sandbox"] as const
    const names = Object.keys(Ports.offsets) as ReadonlyArray<Ports.PortName>
    const all = names.map((name) => Ports.portOf(Ports.DEFAULT_BASE, name))
    for (let instance = 2; instance <= 9; instance++) {
      for (const name of services) all.push(Ports.portOf(Ports.DEFAULT_BASE, name, instance))
    }
    assert.strictEqual(new Set(all).size, all.length)
    assert.strictEqual(Ports.envName("kafkaController"), "KAFKA_CONTROLLER_PORT")
  })
})
