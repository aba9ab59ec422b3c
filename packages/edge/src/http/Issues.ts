/** What a schema found wrong, in words that are safe to show: never the value itself, which may be a password. */
import * as ParseResult from "effect/ParseResult"

export interface Issue {
  readonly path: string
  readonly message: string
}

const MAX_ISSUES = 50
const MAX_MESSAGE = 200

const words = (message: string): string => {
  const safe = message
    .replace(/, actual [\s\S]*$/, "")
    .replace(/^is unexpected[\s\S]*$/, "is not a field of this request")
    .replace(/^is missing$/, "is required")
  return safe.length <= MAX_MESSAGE ? safe : `${safe.slice(0, MAX_MESSAGE - 1)}…`
}

/** `path` is dotted, empty for the whole body. One issue a path: alternatives of a union complain each for itself. */
export const ofArray = (
  issues: ReadonlyArray<{ readonly path: ReadonlyArray<PropertyKey>; readonly message: string }>,
): ReadonlyArray<Issue> => {
  const found = new Map<string, Issue>()
  for (const issue of issues) {
    const path = issue.path.map(String).join(".").slice(0, MAX_MESSAGE)
    if (!found.has(path)) found.set(path, { path, message: words(issue.message) })
    if (found.size === MAX_ISSUES) break
  }
  return [...found.values()]
}

export const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<Issue> =>
  ofArray(ParseResult.ArrayFormatter.formatErrorSync(error))
