/**
 * One door to several edges, as a balancer is: it sends nobody to an edge that says it isn't ready, or that asked with
 * `connection: close` to be left. What a connection meets all the same is counted.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { type Answer, type Call, Edge } from "../support/Edge.ts"

const PROBE_MS = 200
const PROBE_TIMEOUT_MS = 1_500
/** An edge gives notice of its end for longer than this; a balancer that hasn't asked for so long is late by itself. */
const NOTICE_MS = 1_000

/** The system's word for why a call got no answer. */
const codeOf = (cause: unknown): string => {
  for (let at = cause; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code
  }
  return cause instanceof Error ? cause.name : String(cause)
}

export class Doorman extends Edge {
  readonly #edges: ReadonlyArray<Edge>
  readonly #ready = new Map<Edge, boolean>()
  #turn = 0
  #open = true
  readonly #askedMs = new Map<Edge, number>()
  /** Calls that got no answer, by why; `late` where this balancer was too slow to hear that the edge would go. */
  readonly broken = new Map<string, number>()

  constructor(edges: ReadonlyArray<Edge>) {
    super(edges[0]!.url)
    this.#edges = edges
    for (const edge of edges) {
      this.#ready.set(edge, true)
      void this.#probe(edge)
    }
  }

  close(): void {
    this.#open = false
  }

  async #probe(edge: Edge): Promise<void> {
    while (this.#open) {
      const beganMs = Date.now()
      const ready = await fetch(`${edge.url}/readyz`, {
        headers: { connection: "close" },
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      }).then(
        async (response) => {
          await response.arrayBuffer()
          return response.ok
        },
        // Too slow isn't gone: the last word counts.
        (cause) => (codeOf(cause) === "TimeoutError" ? this.#ready.get(edge)! : false),
      )
      this.#ready.set(edge, ready)
      this.#askedMs.set(edge, beganMs)
      await sleep(PROBE_MS)
    }
  }

  /** In turn; any of them where none is ready. */
  #next(): Edge {
    const ready = this.#edges.filter((edge) => this.#ready.get(edge))
    const among = ready.length > 0 ? ready : this.#edges
    return among[this.#turn++ % among.length]!
  }

  override async call(method: string, path: string, call?: Call): Promise<Answer> {
    const edge = this.#next()
    const silentMs = Date.now() - (this.#askedMs.get(edge) ?? Date.now())
    try {
      const answer = await edge.call(method, path, call)
      if (answer.headers.get("connection") === "close") this.#ready.set(edge, false)
      return answer
    } catch (cause) {
      const code = silentMs > NOTICE_MS ? "late" : codeOf(cause)
      this.broken.set(code, (this.broken.get(code) ?? 0) + 1)
      throw cause
    }
  }
}
