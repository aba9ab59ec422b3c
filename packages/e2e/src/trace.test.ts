/** One click, one trace, from the edge to the committed order, asked of a real Jaeger; and both roads to it. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Ports from "@floodgate/runtime/config/Ports"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Telemetry from "@floodgate/runtime/telemetry/Telemetry"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Effect from "effect/Effect"
import { describe, expect, inject, it } from "vitest"
import { Edge } from "./support/Edge.ts"
import { poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)

interface JaegerSpan {
  readonly operationName: string
  readonly processID: string
}

describe("tracing", () => {
  it("one trace spans edge → inventory → Redis → relay → bus → worker → MySQL", async () => {
    const jaeger = (await stack.status())["jaeger"]
    expect(jaeger, "the stack runs a Jaeger").toMatchObject({
      state: expect.stringMatching(/ready|external/),
    })
    const buyer = await edge.newcomer()
    const product = await edge.publish()
    const accepted = await edge.post("/seckill", { product_id: product.id }, { token: buyer.token })
    expect(accepted.status).toBe(202)
    const traceId = accepted.headers.get("x-trace-id")!
    expect(traceId).toMatch(/^[0-9a-f]{32}$/)
    await edge.settled(accepted.data.order_num, buyer.token, "unpaid")

    const spans = await poll("the whole trace is in Jaeger", async () => {
      const response = await fetch(`${jaeger!.url}/api/traces/${traceId}`)
      if (!response.ok) return undefined
      const trace = ((await response.json()) as any).data[0]
      if (trace === undefined) return undefined
      const named = (trace.spans as ReadonlyArray<JaegerSpan>).map(
        (span) => `${trace.processes[span.processID].serviceName}: ${span.operationName}`,
      )
      return named.some((name) => name.startsWith("ordering:")) && named
    })
    const services = new Set(spans.map((name) => name.split(":")[0]))
    expect([...services].sort()).toEqual(["edge", "inventory", "ordering"])
    expect(spans).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^edge: POST \/seckill/),
        expect.stringMatching(/^inventory: redis reserve/),
        expect.stringMatching(/^inventory: .*seckill\.reservations/),
        expect.stringMatching(/^ordering: order create/),
      ]),
    )
  })

  it("the trace id of an answer finds the request in the logs of edge, inventory and ordering, with its buyer", async () => {
    const buyer = await edge.newcomer()
    const product = await edge.publish()
    const accepted = await edge.post("/seckill", { product_id: product.id }, { token: buyer.token })
    expect(accepted.status).toBe(202)
    const traceId = accepted.headers.get("x-trace-id")!
    const { order_num } = accepted.data

    /** The lines of a process that carry the trace id, as `grep` finds them. */
    const linesOf = async (name: string): Promise<ReadonlyArray<Record<string, unknown>>> =>
      (await readFile(join(data, "logs", `${name}.log`), "utf8"))
        .split("\n")
        .filter((line) => line.includes(traceId))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    for (const [name, msg] of [
      ["edge", "reserved"],
      ["inventory", "reservation sent"],
      ["ordering", "order created"],
    ] as const) {
      const told = await poll(`${name} tells of the request`, async () => {
        const lines = await linesOf(name)
        return lines.find((line) => line["order_num"] === order_num)
      })
      expect(told).toMatchObject({
        level: "info",
        service: name,
        msg,
        trace_id: traceId,
        user_id: buyer.id,
        product_id: product.id,
      })
    }
  })

  it.each([
    ["otlp", "OTEL_EXPORTER_OTLP_ENDPOINT", Ports.portOf(portBase, "jaegerOtlpHttp"), ""],
    ["jaeger", "OTEL_EXPORTER_JAEGER_ENDPOINT", Ports.portOf(portBase, "jaegerThriftHttp"), "/api/traces"],
  ] as const)("the %s exporter reaches Jaeger's own receiver", async (exporter, key, port, path) => {
    const jaeger = (await stack.status())["jaeger"]
    const service = `probe-${exporter}`
    const traceparent = await TraceContext.current.pipe(
      Effect.withSpan("a probe"),
      // Telemetry's scope ends with the program, and flushes what it has.
      Effect.provide(Telemetry.layer(service)),
      Effect.provide(
        Provider.layerTest({
          OTEL_TRACES_EXPORTER: exporter,
          OTEL_TRACES_SAMPLER_ARG: "1",
          [key]: `http://127.0.0.1:${port}${path}`,
        }),
      ),
      Effect.runPromise,
    )
    const traceId = traceparent!.split("-")[1]
    const trace = await poll("the probe is in Jaeger", async () => {
      const response = await fetch(`${jaeger!.url}/api/traces/${traceId}`)
      return response.ok ? ((await response.json()) as any).data[0] : undefined
    })
    expect(trace.spans.map((span: JaegerSpan) => span.operationName)).toEqual(["a probe"])
    expect(Object.values<any>(trace.processes)[0].serviceName).toBe(service)
  })
})
