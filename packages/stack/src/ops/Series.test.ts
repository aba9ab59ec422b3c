import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { parse } from "yaml"
import { Series, textsIn } from "./Series.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))

interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}
const ruleFiles = textsIn(root, ["ops/prometheus/rules"], /\.yml$/)
const rules = ruleFiles
  .flatMap(({ text }) => parse(text).groups as ReadonlyArray<{ readonly rules: ReadonlyArray<Rule> }>)
  .flatMap(({ rules }) => rules)

/** The packages' code without their tests, and the protos: a label's `method` is a name of theirs. */
const sources = [
  ...textsIn(
    root,
    fs
      .readdirSync(path.join(root, "packages"))
      .map((name) => path.join("packages", name, "src"))
      .filter((folder) => fs.existsSync(path.join(root, folder))),
    /^(?!.*\.test\.ts$).*\.ts$/,
  ).filter(({ file }) => !/\/(?:gen|simulation|bench|e2e|web)\//.test(file)),
  ...textsIn(root, ["proto"], /\.proto$/),
]
  .map(({ text }) => text)
  .join("\n")

const series = new Series(
  fs.readFileSync(path.join(root, "docs/metrics.md"), "utf8"),
  rules.flatMap(({ record }) => (record === undefined ? [] : [record])),
  sources,
)

describe("what is asked for exists", () => {
  it("finds what doesn't: names, labels, and values", () => {
    expect(series.count).toBeGreaterThan(80)
    expect(series.problems('sum(rate(floodgate_sale_total{step="asked"}[1m]))')).toEqual([])
    expect(series.problems("see `floodgate_sales_total`")).toEqual(["floodgate_sales_total doesn't exist"])
    expect(series.problems("floodgate_sale_total_count")).toEqual([
      "floodgate_sale_total_count doesn't exist",
    ])
    expect(series.problems('floodgate_sale_total{stage="asked"}')).toEqual([
      "floodgate_sale_total has no label stage",
    ])
    expect(series.problems('floodgate_sale_total{step="wished"}')).toEqual([
      'floodgate_sale_total: step is never "wished"',
    ])
    expect(series.problems('floodgate_redis_errors_total{kind=~"unavailable|gone"}')).toEqual([
      'floodgate_redis_errors_total: kind is never "gone"',
    ])
    expect(series.problems('floodgate_bus_lag_messages{group="orders"}')).toEqual([
      'floodgate_bus_lag_messages: group is never "orders"',
    ])
    expect(series.problems("floodgate:http_errors:ratio_rate2m")).toEqual([
      "floodgate:http_errors:ratio_rate2m is recorded by no rule",
    ])
    expect(series.queryProblems("sum by (stage) (floodgate_sale_total)")).toEqual([
      "nothing here has a label stage",
    ])
  })

  it.each(rules.map((rule) => [rule.alert ?? rule.record ?? "", rule] as const))("rule %s", (_, rule) => {
    expect(series.queryProblems(rule.expr)).toEqual([])
    const left = series.labelsLeft(rule.expr)
    for (const text of Object.values(rule.annotations ?? {})) {
      for (const [, label = ""] of text.matchAll(/\$labels\.(\w+)/g)) expect(left, text).toContain(label)
    }
  })

  it("the rules' own tests play series that there are", () => {
    for (const { file, text } of textsIn(root, ["ops/prometheus/tests"], /\.yml$/)) {
      for (const [, played = ""] of text.matchAll(/series:\s*'([^']*)'/g))
        expect(series.problems(played), file).toEqual([])
    }
  })

  const dashboards = textsIn(root, ["ops/grafana/dashboards"], /\.json$/)
  it.each(dashboards.map(({ file, text }) => [path.basename(file), text] as const))(
    "dashboard %s",
    (_, text) => {
      let count = 0
      for (const { title, targets = [] } of JSON.parse(text).panels) {
        for (const { expr, legendFormat = "" } of targets) {
          count++
          expect(series.queryProblems(expr), title).toEqual([])
          const left = series.labelsLeft(expr)
          for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
            expect(left, title).toContain(label)
        }
      }
      expect(count).toBeGreaterThan(3)
    },
  )

  it("every page of the documentation, runbooks among them", () => {
    const pages = textsIn(root, ["docs"], /\.md$/).filter(({ file }) => file !== "docs/metrics.md")
    expect(pages.filter(({ file }) => file.startsWith("docs/runbooks/")).length).toBeGreaterThan(25)
    const wrong = pages.flatMap(({ file, text }) =>
      series.problems(text).map((problem) => `${file}: ${problem}`),
    )
    expect(wrong).toEqual([])
  })
})
