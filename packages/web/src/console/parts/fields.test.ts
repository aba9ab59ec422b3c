import { describe, expect, it } from "vitest"
import { entered, type Field, isJson, sent } from "./fields.ts"

const money: Field = { name: "price", kind: "money", initial: 12_950 }
const time: Field = { name: "start_time", kind: "time", initial: "2026-03-04T05:06:07.000Z" }

describe("fields", () => {
  it("enter money in major units and send it in whole minor ones", () => {
    expect(entered(money)).toBe(129.5)
    expect(sent(money, 129.5)).toBe(12_950)
    // 1.15 * 100 isn't 115 to a machine.
    expect(sent(money, 1.15)).toBe(115)
    expect(sent(money, 8.29)).toBe(829)
  })

  it("enter times in the zone of the machine and send the same instant", () => {
    expect(entered(time)).toMatch(/^2026-03-0\dT\d\d:\d\d:07$/)
    expect(sent(time, entered(time))).toBe("2026-03-04T05:06:07.000Z")
  })

  it("leave out what is empty, and keep what is false or nought", () => {
    expect(sent({ name: "q", kind: "text" }, "")).toBeUndefined()
    expect(sent({ name: "enabled", kind: "flag" }, false)).toBe(false)
    expect(sent({ name: "delta", kind: "whole" }, 0)).toBe(0)
    expect(entered({ name: "enabled", kind: "flag" })).toBe(false)
    expect(entered({ name: "end_time", kind: "time", initial: null })).toBeUndefined()
  })

  it("show JSON to be read, and know what isn't any", () => {
    const variants: Field = { name: "variants", kind: "json", initial: [{ key: "new", weight: 1 }] }
    expect(sent(variants, entered(variants))).toEqual([{ key: "new", weight: 1 }])
    expect(isJson("[1]")).toBe(true)
    expect(isJson("{key: 1}")).toBe(false)
  })
})
