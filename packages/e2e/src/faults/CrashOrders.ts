/** Tells the hooks of a test build what to do. See runtime's `lifecycle/CrashPoint.ts`. */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Order, type Point, points, type Struck } from "@floodgate/runtime/lifecycle/CrashPoint"
import { poll } from "../support/Poll.ts"
import { patient } from "./Patience.ts"

export class CrashOrders {
  /** The value of FLOODGATE_FAULTS_DIR. */
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
    fs.mkdirSync(folder, { recursive: true })
  }

  #file(point: Point, kind = ""): string {
    return path.join(this.folder, `${point}${kind}`)
  }

  /** Gives an order; it replaces one that is still open at this point. The answer waits for the strike. */
  give(point: Point, order: Omit<Order, "id" | "at"> & { readonly at?: number }): Given {
    const id = randomUUID()
    const writing = this.#file(point, ".writing")
    fs.writeFileSync(writing, JSON.stringify({ at: 1, ...order, id } satisfies Order))
    fs.renameSync(writing, this.#file(point))
    return new Given(this, point, id)
  }

  struck(point: Point): Struck | undefined {
    try {
      return JSON.parse(fs.readFileSync(this.#file(point, ".struck"), "utf8")) as Struck
    } catch {
      return undefined
    }
  }

  /** Lets whoever is held at this point go on. */
  release(point: Point): void {
    fs.rmSync(this.#file(point, ".hold"), { force: true })
  }

  /** Takes all open orders back, and releases whoever is held. */
  clear(): void {
    for (const point of points) {
      fs.rmSync(this.#file(point), { force: true })
      this.release(point)
    }
  }
}

export class Given {
  readonly #orders: CrashOrders
  readonly point: Point
  readonly #id: string

  constructor(orders: CrashOrders, point: Point, id: string) {
    this.#orders = orders
    this.point = point
    this.#id = id
  }

  /** Waits until it was carried out; answers the process that did. */
  async struck(limitMs = patient(30_000)): Promise<number> {
    return poll(
      `somebody comes to ${this.point}`,
      async () => {
        const struck = this.#orders.struck(this.point)
        return struck?.id === this.#id ? struck.pid : undefined
      },
      limitMs,
    )
  }

  release(): void {
    this.#orders.release(this.point)
  }
}
