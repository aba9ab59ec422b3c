// The dashboards as code: what each panel asks of Prometheus. `node ops/grafana/src/build.mjs` writes them as Grafana reads
// them; `pnpm check` sees that what is checked in is what this makes.
import { ReduceDataOptionsBuilder } from "@grafana/grafana-foundation-sdk/common"
import {
  DashboardBuilder,
  DatasourceVariableBuilder,
  RowBuilder,
} from "@grafana/grafana-foundation-sdk/dashboard"
import * as Gauge from "@grafana/grafana-foundation-sdk/gauge"
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus"
import * as Stat from "@grafana/grafana-foundation-sdk/stat"
import * as Timeseries from "@grafana/grafana-foundation-sdk/timeseries"

/** A panel: a title, Grafana's unit, and its queries, each with the legend of its series. */
const lines = (title, unit, ...queries) => ({ kind: "lines", title, unit, queries })
const number = (title, unit, ...queries) => ({ kind: "number", title, unit, queries })
const share = (title, ...queries) => ({ kind: "share", title, unit: "percentunit", queries })

const rate = (selector) => `rate(${selector}[1m])`
const sum = (by, expression) => `sum by (${by}) (${expression})`

/** A quantile of a histogram, by these labels. */
const quantile = (q, name, by = "", matchers = "") =>
  `histogram_quantile(${q}, sum by (${["le", by].filter(Boolean).join(", ")}) (rate(${name}_bucket${matchers}[1m])))`

const quantiles = (name, matchers = "") =>
  [0.5, 0.95, 0.99].map((q) => [quantile(q, name, "", matchers), `p${q * 100}`])

const seckill = '{route="/seckill"}'

/** Every dashboard: its uid, its title, and its rows of panels. */
export const dashboards = [
  {
    uid: "floodgate-sale",
    title: "Sale",
    rows: [
      {
        title: "What buyers see",
        panels: [
          number("Purchases asked, a second", "reqps", [
            `sum(${rate('floodgate_sale_total{step="asked"}')})`,
            "",
          ]),
          number("Accepted, a second", "reqps", [
            `sum(${rate('floodgate_sale_total{step="accepted"}')})`,
            "",
          ]),
          number("p99 of a purchase", "s", [
            quantile(0.99, "floodgate_http_request_seconds", "", seckill),
            "",
          ]),
          number("Waiting in front of hot products", "short", ["max(floodgate_waiting_room_waiting)", ""]),
          lines("The funnel, a second", "reqps", [sum("step", rate("floodgate_sale_total")), "{{step}}"]),
          lines("Time of a purchase", "s", ...quantiles("floodgate_http_request_seconds", seckill)),
          lines("Limits, a second", "reqps", [
            sum("limit, decision", rate("floodgate_limit_decisions_total")),
            "{{limit}} {{decision}}",
          ]),
          lines("Waiting room, answers a second", "reqps", [
            sum("place", rate("floodgate_waiting_room_answers_total")),
            "{{place}}",
          ]),
        ],
      },
      {
        title: "From click to order",
        panels: [
          lines("What Redis decided, a second", "reqps", [
            sum("code", rate("floodgate_reserve_outcomes_total")),
            "{{code}}",
          ]),
          lines("Purchases that found stock at the edge", "percentunit", [
            `sum(${rate('floodgate_stock_checks_total{result="hit"}')}) / clamp_min(sum(${rate("floodgate_stock_checks_total")}), 1e-9)`,
            "hit rate",
          ]),
          lines("Click to committed order", "s", ...quantiles("floodgate_order_commit_seconds")),
          lines("Rejected, a second", "short", [
            sum("reason", rate("floodgate_orders_rejected_total")),
            "{{reason}}",
          ]),
          lines("Shards that sell nothing", "short", ["max(floodgate_shards_closed)", "closed"]),
          lines("Differences between the books", "short", [
            "max by (kind) (floodgate_reconciliation_drift)",
            "{{kind}}",
          ]),
        ],
      },
      {
        title: "Money",
        panels: [
          lines("Callbacks, a second", "reqps", [
            sum("channel, result", rate("floodgate_payment_callbacks_total")),
            "{{channel}} {{result}}",
          ]),
          lines("Time of a call to a channel, p99", "s", [
            quantile(0.99, "floodgate_payment_channel_seconds", "channel, op"),
            "{{channel}} {{op}}",
          ]),
          lines("Refunds, a second", "short", [
            sum("channel, result", rate("floodgate_refunds_total")),
            "{{channel}} {{result}}",
          ]),
          lines("Oldest that waits in payment", "s", [
            "max by (kind) (floodgate_payment_waiting_oldest_seconds)",
            "{{kind}}",
          ]),
        ],
      },
    ],
  },
  {
    uid: "floodgate-services",
    title: "Services",
    rows: [
      {
        title: "Edge",
        panels: [
          lines("Requests a second, by class of status", "reqps", [
            sum("status", rate("floodgate_http_requests_total")),
            "{{status}}",
          ]),
          lines("Requests a second, by route", "reqps", [
            `topk(10, ${sum("route", rate("floodgate_http_requests_total"))})`,
            "{{route}}",
          ]),
          lines("p99 by route", "s", [
            `topk(10, ${quantile(0.99, "floodgate_http_request_seconds", "route")})`,
            "{{route}}",
          ]),
          lines("Answers that fail, by exact status", "reqps", [
            sum("code", rate('floodgate_http_responses_total{code=~"5.."}')),
            "{{code}}",
          ]),
          lines("In hand", "short", [
            "sum by (instance) (floodgate_http_requests_in_flight)",
            "{{instance}}",
          ]),
          lines("Event streams", "short", ["sum by (instance) (floodgate_sse_streams_open)", "{{instance}}"]),
          lines("Refused for want of room, a second", "reqps", [
            sum("class", rate("floodgate_bulkhead_refused_total")),
            "{{class}}",
          ]),
          lines("Purchases waiting for their batch", "short", [
            "sum by (instance) (floodgate_coalescer_pending_items)",
            "{{instance}}",
          ]),
        ],
      },
      {
        title: "gRPC",
        panels: [
          lines("p99 by method", "s", [
            quantile(0.99, "floodgate_grpc_server_seconds", "service, method"),
            "{{service}} {{method}}",
          ]),
          lines("Calls a second, by status", "reqps", [
            sum("job, status", rate("floodgate_grpc_server_seconds_count")),
            "{{job}} {{status}}",
          ]),
          lines("Failed attempts of callers, a second", "reqps", [
            sum("job, peer, status", rate("floodgate_grpc_client_errors_total")),
            "{{job}} → {{peer}} {{status}}",
          ]),
          lines("Retries a second", "reqps", [
            sum("job, target", rate("floodgate_retries_total")),
            "{{job}} → {{target}}",
          ]),
          lines("Open breakers", "short", [
            'sum by (job, name) (floodgate_breaker_state{state="open"})',
            "{{job}} → {{name}}",
          ]),
          lines("Deadlines passed, a second", "reqps", [
            sum("job, op", rate("floodgate_deadline_exceeded_total")),
            "{{job}} {{op}}",
          ]),
        ],
      },
      {
        title: "Processes",
        panels: [
          lines("Up", "short", ['up{job=~"edge|identity|inventory|ordering|payment"}', "{{instance}}"]),
          lines("How late the event loop is, p99", "s", [
            'floodgate_event_loop_delay_seconds{quantile="0.99"}',
            "{{instance}}",
          ]),
          lines("How busy the event loop is", "percentunit", [
            "floodgate_event_loop_utilization_ratio",
            "{{instance}}",
          ]),
          lines("Processor", "short", [
            sum("instance", rate("floodgate_process_cpu_seconds_total")),
            "{{instance}}",
          ]),
          lines("Memory", "bytes", ['floodgate_process_memory_bytes{kind="rss"}', "{{instance}}"]),
          lines("Pauses of the collector, p99", "s", [
            quantile(0.99, "floodgate_gc_duration_seconds", "instance"),
            "{{instance}}",
          ]),
          lines("Log lines lost, a second", "short", [
            sum("instance", rate("floodgate_log_lines_lost_total")),
            "{{instance}}",
          ]),
          lines("Versions", "short", [
            "count by (job, version) (floodgate_build_info)",
            "{{job}} {{version}}",
          ]),
        ],
      },
    ],
  },
  {
    uid: "floodgate-engines",
    title: "Engines",
    rows: [
      {
        title: "MySQL",
        panels: [
          lines("p99 by operation", "s", [
            `topk(10, ${quantile(0.99, "floodgate_mysql_query_seconds", "job, op")})`,
            "{{job}} {{op}}",
          ]),
          lines("Operations a second", "ops", [
            sum("job", rate("floodgate_mysql_query_seconds_count")),
            "{{job}}",
          ]),
          lines("Connections in use, share of the pool", "percentunit", [
            "max by (instance, pool) (floodgate_mysql_pool_in_use / floodgate_mysql_pool_size)",
            "{{instance}} {{pool}}",
          ]),
          lines("Waiting for a connection", "short", [
            "sum by (instance, pool) (floodgate_mysql_pool_waiting)",
            "{{instance}} {{pool}}",
          ]),
          lines("Slow statements, in ten minutes", "short", [
            "sum by (job, op) (increase(floodgate_mysql_slow_queries_total[10m]))",
            "{{job}} {{op}}",
          ]),
          lines("Errors a second", "short", [
            sum("job, kind", rate("floodgate_mysql_errors_total")),
            "{{job}} {{kind}}",
          ]),
        ],
      },
      {
        title: "Redis",
        panels: [
          lines("p99 by operation", "s", [
            `topk(10, ${quantile(0.99, "floodgate_redis_command_seconds", "redis, op")})`,
            "{{redis}} {{op}}",
          ]),
          lines("Commands a second", "ops", [
            sum("job, redis", rate("floodgate_redis_command_seconds_count")),
            "{{job}} {{redis}}",
          ]),
          lines("Errors a second", "short", [
            sum("job, redis, kind", rate("floodgate_redis_errors_total")),
            "{{job}} {{redis}} {{kind}}",
          ]),
          lines("Waiting for an answer", "short", [
            "sum by (instance, redis) (floodgate_redis_in_flight)",
            "{{instance}} {{redis}}",
          ]),
        ],
      },
    ],
  },
  {
    uid: "floodgate-queues",
    title: "Queues",
    rows: [
      {
        title: "From Redis to the bus",
        panels: [
          lines("Reservations without an outcome", "short", ["max(floodgate_relay_open_entries)", "open"]),
          lines("Age of the oldest", "s", ["max(floodgate_relay_oldest_entry_seconds)", "oldest"]),
          lines("Relayed a second", "short", [
            sum("reason", rate("floodgate_relay_produced_total")),
            "{{reason}}",
          ]),
          lines("Shards relayed, by process", "short", ["floodgate_relay_shards_held", "{{instance}}"]),
        ],
      },
      {
        title: "The bus",
        panels: [
          lines("Lag", "short", [
            "max by (group, topic) (floodgate_bus_lag_messages)",
            "{{group}} {{topic}}",
          ]),
          lines("Members of the groups", "short", [
            "max by (group) (floodgate_bus_group_members)",
            "{{group}}",
          ]),
          lines("Rebalances a second", "short", [
            sum("group", rate("floodgate_bus_rebalances_total")),
            "{{group}}",
          ]),
          lines("Published a second", "short", [
            sum("topic", rate("floodgate_bus_published_messages_total")),
            "{{topic}}",
          ]),
          lines("Time to publish, p99", "s", [
            quantile(0.99, "floodgate_bus_publish_seconds", "topic"),
            "{{topic}}",
          ]),
          lines("Consumed a second", "short", [
            sum("group, topic", rate("floodgate_bus_consumed_messages_total")),
            "{{group}} {{topic}}",
          ]),
          lines("From publishing to handled, p99", "s", [
            quantile(0.99, "floodgate_bus_delivery_seconds", "group, topic"),
            "{{group}} {{topic}}",
          ]),
          lines(
            "Failures a second",
            "short",
            [sum("topic", rate("floodgate_bus_publish_failures_total")), "publish {{topic}}"],
            [
              sum("group, topic", rate("floodgate_bus_consume_failures_total")),
              "consume {{group}} {{topic}}",
            ],
          ),
        ],
      },
      {
        title: "Outboxes, dead letters, what waits",
        panels: [
          lines("Unsent rows", "short", ["max by (job) (floodgate_outbox_unsent_rows)", "{{job}}"]),
          lines("Age of the oldest", "s", ["max by (job) (floodgate_outbox_oldest_seconds)", "{{job}}"]),
          lines("Dead letters", "short", ["max by (topic) (floodgate_dead_letters_open)", "{{topic}}"]),
          lines("Payments that wait for their order", "short", [
            "max(floodgate_parked_payment_events)",
            "parked",
          ]),
          lines("Unsealed audit rows", "short", ["max by (job) (floodgate_audit_unsealed_rows)", "{{job}}"]),
        ],
      },
    ],
  },
  {
    uid: "floodgate-slo",
    title: "SLO",
    rows: [
      {
        title: "The promise: 99.9 % of requests aren't failed by us, in 30 days",
        panels: [
          share("Failed, the last hour", ["floodgate:http_errors:ratio_rate1h", ""]),
          share("Failed, the last three days", ["floodgate:http_errors:ratio_rate3d", ""]),
          number("Budget burns so many times too fast (1 h)", "short", [
            "floodgate:http_errors:ratio_rate1h / 0.001",
            "",
          ]),
          lines(
            "Share of failed requests",
            "percentunit",
            ["floodgate:http_errors:ratio_rate5m", "5 min"],
            ["floodgate:http_errors:ratio_rate1h", "1 h"],
            ["floodgate:http_errors:ratio_rate6h", "6 h"],
          ),
          lines("Purchases slower than 250 ms", "percentunit", [
            "floodgate:seckill_slow:ratio_rate5m",
            "5 min",
          ]),
          lines("Alerts", "short", [
            'sum by (alertname, severity) (ALERTS{alertstate="firing"})',
            "{{severity}} {{alertname}}",
          ]),
        ],
      },
    ],
  },
]

/** Every query of every panel, with where it stands: for a test that asks a live Prometheus each of them. */
export const queries = () =>
  dashboards.flatMap(({ title: dashboard, rows }) =>
    rows.flatMap(({ panels }) =>
      panels.flatMap(({ title: panel, queries: all }) => all.map(([expr]) => ({ dashboard, panel, expr }))),
    ),
  )

const source = { type: "prometheus", uid: "$" + "{source}" }

const lastValue = () => new ReduceDataOptionsBuilder().calcs(["lastNotNull"])

const shapes = {
  lines: () => new Timeseries.PanelBuilder().span(12).height(8).lineWidth(1).fillOpacity(8),
  number: () => new Stat.PanelBuilder().span(6).height(5).reduceOptions(lastValue()),
  share: () => new Gauge.PanelBuilder().span(6).height(5).min(0).max(0.01).reduceOptions(lastValue()),
}

const panelOf = ({ kind, title, unit, queries: all }) => {
  const panel = shapes[kind]().title(title).unit(unit).datasource(source)
  for (const [expr, legend] of all) panel.withTarget(new DataqueryBuilder().expr(expr).legendFormat(legend))
  return panel
}

/** A dashboard as Grafana reads it. */
export const built = ({ uid, title, rows }) => {
  const dashboard = new DashboardBuilder(`Floodgate: ${title}`)
    .uid(uid)
    .tags(["floodgate"])
    .readonly()
    .refresh("5s")
    .time({ from: "now-30m", to: "now" })
    .timezone("browser")
    .withVariable(new DatasourceVariableBuilder("source").label("Prometheus").type("prometheus"))
  for (const row of rows) {
    dashboard.withRow(new RowBuilder(row.title))
    for (const panel of row.panels) dashboard.withPanel(panelOf(panel))
  }
  return dashboard.build()
}
