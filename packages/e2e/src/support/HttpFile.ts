/**
 * Runs files of requests in the format of VS Code's REST Client, as far as ours use it: variables of the file, names of
 * requests whose answers later ones use, a few system variables, and bodies from files. Beyond the format, in comments:
 * `expect <status>` (200 unless said) and `until <path> <value>`, which asks again until the answer says so.
 */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { poll } from "./Poll.ts"

export interface Step {
  /** Its heading, or its request line. */
  readonly title: string
  readonly name: string | undefined
  readonly expect: number
  readonly until: { readonly path: string; readonly value: string } | undefined
  readonly method: string
  readonly url: string
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: string
}

export interface HttpFile {
  readonly folder: string
  readonly variables: ReadonlyMap<string, string>
  readonly steps: ReadonlyArray<Step>
}

const COMMENT = /^(?:#|\/\/)\s?(.*)$/

const stepOf = (heading: string, lines: ReadonlyArray<string>): Step | undefined => {
  let name: string | undefined
  let expect = 200
  let until: Step["until"]
  let at = 0
  for (; at < lines.length; at++) {
    const line = lines[at]!.trim()
    const comment = COMMENT.exec(line)?.[1]
    if (line !== "" && comment === undefined) break
    const [word, first, ...rest] = (comment ?? "").split(/\s+/)
    if (word === "@name") name = first
    if (word === "expect") expect = Number(first)
    if (word === "until") until = { path: first!, value: rest.join(" ") }
  }
  const request = lines[at]?.trim()
  if (request === undefined) return undefined
  const [, method, url] = /^([A-Z]+) (\S+)$/.exec(request) ?? []
  if (method === undefined || url === undefined) throw new Error(`no request line: ${request}`)
  const end = lines.findIndex((line, i) => i > at && line.trim() === "")
  const headers = lines.slice(at + 1, end < 0 ? lines.length : end).map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  const body = end < 0 ? "" : lines.slice(end).join("\n").trim()
  return { title: heading || `${method} ${url}`, name, expect, until, method, url, headers, body }
}

export const read = (file: string): HttpFile => {
  const text = readFileSync(file, "utf8")
  const variables = new Map<string, string>()
  for (const [, name, value] of text.matchAll(/^@(\w+) *= *(.*)$/gm)) variables.set(name!, value!.trim())
  const [, ...parts] = text.split(/^###/m)
  const steps = parts.flatMap((part) => {
    const [heading = "", ...lines] = part.split("\n")
    return stepOf(heading.trim(), lines) ?? []
  })
  return { folder: path.dirname(file), variables, steps }
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const at = (value: unknown, where: string): unknown =>
  where.split(".").reduce<unknown>((node, key) => (node as any)?.[key], value)

const system = (text: string): string | undefined => {
  const [name, format, amount, unit] = text.split(/\s+/)
  if (name === "$guid") return randomUUID()
  if (name === "$timestamp") return String(Math.floor(Date.now() / 1_000))
  if (name === "$datetime" && format === "iso8601") {
    return new Date(Date.now() + Number(amount ?? 0) * (UNITS[unit ?? "s"] ?? Number.NaN)).toISOString()
  }
  return undefined
}

interface Answered {
  readonly status: number
  readonly text: string
  readonly json: unknown
}

/** Runs a file from top to bottom. Fails at the first request that isn't answered as it says. */
export const run = async (
  { folder, steps, variables }: HttpFile,
  given: Readonly<Record<string, string>>,
): Promise<ReadonlyArray<string>> => {
  const answers = new Map<string, unknown>()
  const fill = (text: string): string =>
    text.replace(/\{\{([^}]+)\}\}/g, (_, inner: string) => {
      const expression = inner.trim()
      const [, name, where] = /^(\w+)\.response\.body\.(.+)$/.exec(expression) ?? []
      const value =
        name === undefined
          ? (given[expression] ?? variables.get(expression) ?? system(expression))
          : at(answers.get(name), where!)
      if (value === undefined) throw new Error(`nothing is known of {{${expression}}}`)
      return String(value)
    })

  const send = async (step: Step): Promise<Answered> => {
    const file = /^< (.+)$/.exec(step.body)?.[1]
    const body = file === undefined ? fill(step.body) : readFileSync(path.resolve(folder, file))
    const response = await fetch(fill(step.url), {
      method: step.method,
      headers: Object.fromEntries(step.headers.map(([name, value]) => [name, fill(value)])),
      ...(body.length === 0 ? {} : { body }),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      json = undefined
    }
    return { status: response.status, text, json }
  }

  const sent: Array<string> = []
  for (const step of steps) {
    const ask = async (): Promise<Answered> => {
      const answer = await send(step)
      if (answer.status !== step.expect) {
        throw new Error(
          `${step.title}: expected ${step.expect}, was answered ${answer.status} ${answer.text.slice(0, 300)}`,
        )
      }
      return answer
    }
    const { until } = step
    const answer =
      until === undefined
        ? await ask()
        : await poll(`${step.title}: ${until.path} is ${until.value}`, async () => {
            const answered = await ask()
            return String(at(answered.json, until.path)) === until.value ? answered : undefined
          })
    if (step.name !== undefined) answers.set(step.name, answer.json)
    sent.push(`${step.method} ${step.url}`)
  }
  return sent
}
