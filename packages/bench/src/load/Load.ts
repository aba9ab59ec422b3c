/** The load generator as the rest of the benchmark sees it. */
import { type ChildProcess, fork } from "node:child_process"
import type { Answer, Outcome, Plan, Told } from "./Plan.ts"

/** One message from a child, or its end. */
export const heard = <A>(child: ChildProcess): Promise<A> =>
  new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      child.off("message", onMessage)
      child.off("exit", onExit)
      done()
    }
    const onMessage = (message: unknown) => settle(() => resolve(message as A))
    const onExit = (code: number | null) =>
      settle(() => reject(new Error(`a child of the bench ended (${code})`)))
    child.once("message", onMessage)
    child.once("exit", onExit)
  })

export class Load {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** `entry` is the bundled generator. */
  static async start(entry: string): Promise<Load> {
    const child = fork(entry, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
    await heard(child)
    return new Load(child)
  }

  async #tell(told: Told): Promise<Answer> {
    const answer = heard<Answer>(this.#child)
    this.#child.send(told)
    return answer
  }

  /** Buyers by their tokens, one a line: the first line is buyer 0. */
  async buyers(file: string): Promise<void> {
    await this.#tell({ what: "buyers", file })
  }

  async run(plan: Plan): Promise<Outcome> {
    const answer = await this.#tell({ what: "run", plan })
    if (answer.what === "outcome") return answer.outcome
    throw new Error(answer.what === "failed" ? answer.reason : "the load generator answered out of turn")
  }

  stop(): void {
    this.#child.kill()
  }
}
