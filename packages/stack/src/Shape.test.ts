import { describe, expect, it } from "vitest"
import * as Shape from "./Shape.ts"

const words: Shape.Words = {
  edges: "1",
  "edge-processes": "1",
  replicas: "1",
  instances: [],
  redis: "single",
  brokers: "1",
  env: [],
  via: [],
}

describe("the shape of a stack", () => {
  it("is one of everything, unless said", () => {
    const shape = Shape.parse(words)
    expect(["edge", "ordering", "sandbox"].map((name) => Shape.instancesOf(shape, name as "edge"))).toEqual([
      1, 1, 1,
    ])
  })

  it("replicas count for all services but the provider's stand-in, and a name's own number wins", () => {
    const shape = Shape.parse({ ...words, replicas: "2", edges: "3", instances: ["ordering=4,payment=1"] })
    const counts = (["edge", "identity", "inventory", "ordering", "payment", "sandbox"] as const).map(
      (name) => Shape.instancesOf(shape, name),
    )
    expect(counts).toEqual([3, 2, 2, 4, 1, 1])
  })

  it("values may be meant for one service, and hold an equals sign", () => {
    expect(Shape.parse({ ...words, env: ["A=1=2", "ordering:ORDER_PAY_TIMEOUT_MS=3000"] }).told).toEqual([
      { service: undefined, key: "A", value: "1=2" },
      { service: "ordering", key: "ORDER_PAY_TIMEOUT_MS", value: "3000" },
    ])
  })

  it.each([
    [{ edges: "0" }, "--edges"],
    [{ "edge-processes": "many" }, "--edge-processes"],
    [{ replicas: "10" }, "--replicas"],
    [{ instances: ["sandbox=2"] }, "sandbox"],
    [{ redis: "sentinel" }, "--redis"],
    [{ brokers: "2" }, "--brokers"],
    [{ env: ["order:A=1"] }, "--env"],
    [{ via: ["postgres=1"] }, "postgres"],
  ])("%o is refused", (wrong, said) => {
    expect(() => Shape.parse({ ...words, ...wrong })).toThrow(said)
  })
})
