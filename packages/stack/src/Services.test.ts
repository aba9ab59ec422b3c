import { describe, expect, it } from "vitest"
import { everything, parseSelection, services } from "./Services.ts"

describe("--only", () => {
  it("engines means engines and no service", () => {
    const chosen = parseSelection("engines")
    expect(chosen).toEqual({ services: new Set(), engines: everything.engines })
  })

  it("a service brings the engines along", () => {
    expect(parseSelection("identity, edge")).toEqual({
      services: new Set(["identity", "edge"]),
      engines: everything.engines,
    })
  })

  it("kafka and bus are one thing, whichever of the two buses it becomes", () => {
    expect(parseSelection("kafka")).toEqual(parseSelection("bus"))
  })

  it("everything can be named in two words", () => {
    const chosen = parseSelection("engines,services")
    expect(chosen).toEqual({ services: new Set(services), engines: everything.engines })
  })

  it("an unknown word is told, not ignored", () => {
    expect(parseSelection("edge,inventroy")).toEqual({ unknown: "inventroy" })
  })
})
