/** What a run of the suite found, for people and for machines. */
import * as fs from "node:fs"

export interface Result {
  readonly row: string
  readonly promise: string
  readonly seed: string
  readonly violations: ReadonlyArray<string>
  readonly sells_again_ms: number | null
  readonly at_rest_ms: number | null
  readonly took_ms: number
  readonly notes: ReadonlyArray<string>
}

/** Kept complete after every trial, so that a run that is cut off has told what it knew. */
export class Report {
  readonly #file: string | undefined
  readonly #results: Array<Result> = []

  constructor(file: string | undefined) {
    this.#file = file
  }

  add(result: Result): void {
    this.#results.push(result)
    if (this.#file !== undefined) {
      fs.writeFileSync(`${this.#file}.writing`, JSON.stringify(this.#results, null, 2))
      fs.renameSync(`${this.#file}.writing`, this.#file)
    }
  }
}
