/** What watches a stack: the questions that people ask Prometheus and Alertmanager. */

/** A series of a graph: its values over time, Prometheus' text of numbers. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly values: ReadonlyArray<readonly [number, string]>
}

export interface Rule {
  readonly name: string
  readonly query: string
  readonly health: string
  readonly lastError?: string
  readonly state?: string
  readonly type: string
  /** RFC 3339; the year 1 before the first time. */
  readonly lastEvaluation: string
}

/** An alert that Alertmanager holds. */
export interface Held {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly receivers: ReadonlyArray<{ readonly name: string }>
  readonly status: { readonly state: string }
  /** RFC 3339: since when it has fired. */
  readonly startsAt: string
}

const askJson = async (url: string, body?: URLSearchParams): Promise<any> => {
  const response = await fetch(url, {
    ...(body === undefined ? {} : { method: "POST", body }),
    signal: AbortSignal.timeout(10_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`)
  return JSON.parse(text)
}

export class Watchers {
  readonly prometheus: string
  readonly alertmanager: string

  constructor(prometheus: string, alertmanager: string) {
    this.prometheus = prometheus
    this.alertmanager = alertmanager
  }

  /** Whether everything that is watched has answered when it was last asked: "unknown" is nobody's answer. */
  async everybodyIsUp(): Promise<boolean> {
    const { activeTargets } = (await askJson(`${this.prometheus}/api/v1/targets?state=active`)).data as {
      readonly activeTargets: ReadonlyArray<{ readonly health: string }>
    }
    return activeTargets.length > 0 && activeTargets.every(({ health }) => health === "up")
  }

  /** What a panel draws of the last `seconds`. Fails with Prometheus' words where the query is wrong. */
  async graph(query: string, seconds: number): Promise<ReadonlyArray<Series>> {
    const end = Date.now() / 1000
    const asked = new URLSearchParams({
      query,
      start: String(end - seconds),
      end: String(end),
      step: "5",
    })
    return (await askJson(`${this.prometheus}/api/v1/query_range`, asked)).data.result
  }

  async rules(): Promise<ReadonlyArray<Rule>> {
    const { data } = await askJson(`${this.prometheus}/api/v1/rules`)
    return data.groups.flatMap((group: { rules: ReadonlyArray<Rule> }) => group.rules)
  }

  /** The alerts of this name that aren't over, as whoever is paged sees them. */
  async held(alertname: string): Promise<ReadonlyArray<Held>> {
    const filter = encodeURIComponent(`alertname="${alertname}"`)
    return askJson(`${this.alertmanager}/api/v2/alerts?filter=${filter}`)
  }
}
