/**
 * Which series exist, by docs/metrics.md (a test holds that page equal to what the services define), and what a query or a
 * page asks for that doesn't: an alert on a name that nobody writes never fires.
 */
import * as fs from "node:fs"
import * as path from "node:path"

interface Family {
  readonly type: string
  /** The values that a label can have; undefined where the page doesn't list them. */
  readonly labels: ReadonlyMap<string, ReadonlyArray<string> | undefined>
}

/** What Prometheus adds to every series: see ops/prometheus. */
const TARGET_LABELS: ReadonlyArray<string> = ["job", "instance", "system"]

/** Families that Prometheus makes itself. */
const builtIn: ReadonlyMap<string, Family> = new Map([
  ["up", { type: "gauge", labels: new Map() }],
  [
    "ALERTS",
    {
      type: "gauge",
      labels: new Map([
        ["alertname", undefined],
        ["severity", ["page", "ticket"]],
        ["alertstate", ["pending", "firing"]],
      ]),
    },
  ],
])

/** The families of docs/metrics.md. */
const familiesOf = (page: string): ReadonlyMap<string, Family> => {
  const families = new Map<string, Family>(builtIn)
  for (const [, name = "", type = "", labels = ""] of page.matchAll(
    /^\| `(floodgate_\w+)` \| (\w+) \| [^|]* \| ([^|]*) \|/gm,
  )) {
    families.set(name, {
      type,
      labels: new Map(
        [...labels.matchAll(/`(\w+)`(?:: ([^;]*))?/g)].map(([, label = "", values]) => [
          label,
          values?.split(",").map((value) => value.trim()),
        ]),
      ),
    })
  }
  return families
}

export class Series {
  readonly #families: ReadonlyMap<string, Family>
  /** What rules record, with the labels that are left. */
  readonly #recorded: ReadonlySet<string>
  /** All source text: where the page doesn't list a label's values, somebody must write them. */
  readonly #sources: string

  constructor(page: string, recorded: Iterable<string>, sources: string) {
    this.#families = familiesOf(page)
    this.#recorded = new Set(recorded)
    this.#sources = sources
  }

  get count(): number {
    return this.#families.size - builtIn.size
  }

  /** The labels of a series' name; undefined where there is no such series. */
  #labelsOf(name: string): ReadonlyMap<string, ReadonlyArray<string> | undefined> | undefined {
    const family = this.#families.get(name)
    if (family !== undefined) return family.labels
    const [, base = "", part] = /^(\w+)_(bucket|sum|count)$/.exec(name) ?? []
    const histogram = this.#families.get(base)
    if (histogram?.type !== "histogram") return undefined
    return part === "bucket" ? new Map([...histogram.labels, ["le", undefined]]) : histogram.labels
  }

  /** A group has a constant of that name, a gRPC method a line in its proto; other values are literals or keys. */
  #isWritten(label: string, value: string): boolean {
    if (label === "group") return this.#sources.includes(`GROUP = "${value}"`)
    if (label === "method" && this.#sources.includes(`rpc ${value}(`)) return true
    return this.#sources.includes(`"${value}"`) || this.#sources.includes(`${value}:`)
  }

  #valueProblem(
    label: string,
    operator: string,
    value: string,
    known: ReadonlyArray<string> | undefined,
  ): string | undefined {
    // Buckets are numbers, and processes are what runs.
    if (label === "le" || label === "instance") return undefined
    const isRegex = operator.includes("~")
    const wanted = isRegex && /^[\w|-]+$/.test(value) ? value.split("|") : [value]
    for (const each of wanted) {
      const found =
        known === undefined
          ? isRegex || this.#isWritten(label, each)
          : known.some((one) => (isRegex ? new RegExp(`^(?:${each})$`).test(one) : one === each))
      if (!found) return `${label} is never "${each}"`
    }
    return undefined
  }

  /**
   * What is asked for in a text and doesn't exist, a line each: names, labels in braces and their values. Also finds names
   * in prose.
   */
  problems(text: string): ReadonlyArray<string> {
    const found: Array<string> = []
    for (const [, name] of text.matchAll(/\b(floodgate:[a-z_]\w*(?::\w+)*)/g)) {
      if (!this.#recorded.has(name!)) found.push(`${name} is recorded by no rule`)
    }
    for (const [, name = "", matchers = ""] of text.matchAll(
      /\b(floodgate_\w+|up(?=\{)|ALERTS)(?:\{([^}]*)\})?/g,
    )) {
      const labels = this.#labelsOf(name)
      if (labels === undefined) {
        found.push(`${name} doesn't exist`)
        continue
      }
      for (const [, label = "", operator = "", value = ""] of matchers.matchAll(
        /(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g,
      )) {
        if (!labels.has(label) && !TARGET_LABELS.includes(label)) {
          found.push(`${name} has no label ${label}`)
          continue
        }
        const problem = this.#valueProblem(label, operator, value, labels.get(label))
        if (problem !== undefined) found.push(`${name}: ${problem}`)
      }
    }
    return found
  }

  /** Labels that a query's series can have: those it groups by, else those of what it asks for. */
  labelsLeft(query: string): ReadonlySet<string> {
    const groups = [...query.matchAll(/\bby\s*\(([^)]*)\)/g)].map(([, list = ""]) =>
      list.split(",").map((label) => label.trim()),
    )
    return groups.length > 0 ? new Set(groups.flat()) : this.#labelsIn(query)
  }

  #labelsIn(query: string): ReadonlySet<string> {
    const names = [...query.matchAll(/\b(floodgate_\w+|up|ALERTS)\b/g)].map(([, name = ""]) => name)
    return new Set([...TARGET_LABELS, ...names.flatMap((name) => [...(this.#labelsOf(name)?.keys() ?? [])])])
  }

  /** As `problems`, and also the labels that a query groups by and that nothing in it has. */
  queryProblems(query: string): ReadonlyArray<string> {
    const known = this.#labelsIn(query)
    return [
      ...this.problems(query),
      ...[...query.matchAll(/\b(?:by|on|ignoring|without)\s*\(([^)]*)\)/g)]
        .flatMap(([, list = ""]) => list.split(","))
        .map((label) => label.trim())
        .filter((label) => label !== "" && !known.has(label))
        .map((label) => `nothing here has a label ${label}`),
    ]
  }
}

/** Every text below some folders whose names end like this, with where it stands. */
export const textsIn = (
  root: string,
  folders: ReadonlyArray<string>,
  ending: RegExp,
): ReadonlyArray<{ readonly file: string; readonly text: string }> =>
  folders.flatMap((folder) =>
    fs
      .readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && ending.test(entry.name))
      .map((entry) => path.join(entry.parentPath, entry.name))
      .sort()
      .map((file) => ({ file: path.relative(root, file), text: fs.readFileSync(file, "utf8") })),
  )
