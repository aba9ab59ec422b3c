import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parse } from "yaml"
import * as Prometheus from "../engines/Prometheus.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))
const home = path.join(root, "ops", "prometheus")
const yamlIn = (folder: string) =>
  fs
    .readdirSync(path.join(home, folder))
    .filter((name) => name.endsWith(".yml"))
    .map((name) => path.join(home, folder, name))
const parsed = (file: string) => parse(fs.readFileSync(file, "utf8"))

interface Rule {
  readonly alert?: string
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
}
const alerts = yamlIn("rules")
  .flatMap((file) => parsed(file).groups as ReadonlyArray<{ rules: ReadonlyArray<Rule> }>)
  .flatMap(({ rules }) => rules)
  .filter((rule) => rule.alert !== undefined)

/** Runs a checker to its end; fails with all that it says. */
const run = (program: string, args: ReadonlyArray<string>, cwd = home): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(program, [...args], { cwd, timeout: 170_000 }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${stdout}\n${stderr}`)),
    )
  })

describe("alerts", () => {
  let promtool: string
  let amtool: string
  let folder: string
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-alerts-"))
    const say = (line: string) => process.stderr.write(`alerts: ${line}\n`)
    promtool = await Prometheus.install("promtool", await Prometheus.plan("promtool"), say)
    amtool = await Prometheus.install("amtool", await Prometheus.plan("amtool"), say)
  }, 600_000)
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  it("Prometheus takes its configuration, rules and targets, in compose, beside the stack, and in Kubernetes", async () => {
    await run(promtool, ["check", "config", "prometheus.yml"])
    const beside = Prometheus.configure(
      path.join(folder, "beside"),
      root,
      [{ job: "edge", instance: "edge-2", address: "127.0.0.1:8200" }],
      "127.0.0.1:9093",
    )
    await run(promtool, ["check", "config", beside])
    // Debian's build knows no discovery in Kubernetes; everything else of the file is checked.
    const { scrape_configs: scrapes, ...rest } = parsed(path.join(home, "kubernetes.yml"))
    const other = scrapes.map(({ kubernetes_sd_configs: sd, ...scrape }: Record<string, unknown>) => {
      expect(sd).toEqual([{ role: "pod", namespaces: { names: ["floodgate"] } }])
      return scrape
    })
    const file = path.join(folder, "beside", "kubernetes.yml")
    fs.writeFileSync(file, JSON.stringify({ ...rest, scrape_configs: other }))
    await run(promtool, ["check", "config", file])
  })

  it("Alertmanager takes its configuration, and a page goes to the pager", async () => {
    const config = path.join(root, "ops", "alertmanager", "alertmanager.yml")
    await run(amtool, ["check-config", config])
    const route = (severity: string) =>
      run(amtool, ["config", "routes", "test", `--config.file=${config}`, `severity=${severity}`])
    expect((await route("page")).trim()).toBe("pager")
    expect((await route("ticket")).trim()).toBe("tickets")
    const known = new Set(alerts.map(({ alert }) => alert))
    for (const { source_matchers, target_matchers } of parsed(config).inhibit_rules) {
      for (const matcher of [...source_matchers, ...target_matchers] as ReadonlyArray<string>) {
        const [, pattern] = /^alertname=~?"([^"]+)"$/.exec(matcher) ?? []
        if (pattern === undefined) continue
        const matching = [...known].filter((name) => new RegExp(`^(?:${pattern})$`).test(name ?? ""))
        expect(matching.length, `${matcher} is about no alert of ours`).toBeGreaterThan(0)
      }
    }
  })

  it("each alert says how urgent it is, what it is, and which page helps; each such page is an alert's", () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(["page", "ticket"], alert).toContain(labels["severity"])
      expect(annotations["summary"], alert).toBeTruthy()
      const page = annotations["runbook_url"] ?? ""
      const text = fs.readFileSync(path.join(root, page), "utf8")
      for (const heading of [`# ${alert}`, "## What it means", "## First look", "## Remedy"]) {
        expect(text).toContain(heading)
      }
    }
    const pages = fs.readdirSync(path.join(root, "docs", "runbooks")).filter((name) => name !== "README.md")
    expect(pages.map((name) => `docs/runbooks/${name}`).sort()).toEqual(
      alerts.map(({ annotations }) => annotations["runbook_url"]).sort(),
    )
  })

  it("each alert fires where it must, and is silent where it must not", async () => {
    const cases = yamlIn("tests")
      .flatMap((file) => parsed(file).tests as ReadonlyArray<{ alert_rule_test: ReadonlyArray<any> }>)
      .flatMap((one) => one.alert_rule_test)
    for (const { alert } of alerts) {
      const its = cases.filter(({ alertname }) => alertname === alert)
      expect(
        its.some(({ exp_alerts }) => exp_alerts.length > 0),
        `${alert} has a firing case`,
      ).toBe(true)
      expect(
        its.some(({ exp_alerts }) => exp_alerts.length === 0),
        `${alert} has a silent case`,
      ).toBe(true)
    }
    await run(promtool, ["test", "rules", ...yamlIn("tests")])
  }, 180_000)
})
