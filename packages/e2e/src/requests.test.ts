/** What the documentation shows people to try works as it stands: the files of requests, and the client's examples. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { describe, expect, inject, it } from "vitest"
import { Edge } from "./support/Edge.ts"
import * as HttpFile from "./support/HttpFile.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const { url } = new Stack(data, portBase)
const edge = new Edge(url)
const root = fileURLToPath(new URL("../../..", import.meta.url))

describe("the files of requests", () => {
  for (const name of ["sale", "console"]) {
    it(`${name}.http is answered as it says, from top to bottom`, async () => {
      const file = HttpFile.read(join(root, "docs", "api", `${name}.http`))
      const sent = await HttpFile.run(file, { base: url })
      expect(sent.length).toBe(file.steps.length)
      expect(sent.length).toBeGreaterThan(15)
    })
  }
})

describe("the client's examples", () => {
  const example = (...args: ReadonlyArray<string>) =>
    promisify(execFile)(process.execPath, [join(root, "packages/client/bin/example.mjs"), ...args], {
      timeout: 90_000,
    })

  it("buy, and watch somebody buy", async () => {
    const product = await edge.publish({ stock: 1, price: 100 })
    const [bob, id] = ["bob", String(product.id)]
    const watching = example("watch", url, bob, "floodgate-bob", id)
    // The event of an order that is paid before one watches is gone; so it is bought when one does.
    await new Promise<void>((resolve, reject) => {
      watching.child.stdout!.once("data", () => resolve())
      watching.catch(reject)
    })
    const bought = await example("buy", url, bob, "floodgate-bob", id)
    const [, orderNum] = /^(\S+): succeeded\n$/.exec(bought.stdout) ?? []
    expect(orderNum, bought.stdout).toBeDefined()
    const watched = await watching
    expect(watched.stdout).toContain("1 left")
    expect(watched.stdout).toContain(`${orderNum} is ours`)

    expect((await example("buy", url, bob, "floodgate-bob", id)).stdout).toBe(`already yours: ${orderNum}\n`)
    expect((await example("buy", url, "alice", "floodgate-alice", id)).stdout).toBe("sold out\n")
  })

  it("the one of the README is the one that runs", () => {
    const read = (file: string) => readFileSync(join(root, "packages/client", file), "utf8")
    expect(read("README.md")).toContain(read("src/examples/buy.ts"))
  })
})
