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

/** `path` is dotted, empty for the whole body. */
export const ofArray = (
  issues: ReadonlyArray<{ readonly path: ReadonlyArray<PropertyKey>; readonly message: string }>,
): ReadonlyArray<Issue> =>
  issues.slice(0, MAX_ISSUES).map((issue) => ({
    path: issue.path.map(String).join(".").slice(0, MAX_MESSAGE),
    message: words(issue.message),
  }))

export const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<Issue> =>
  ofArray(ParseResult.ArrayFormatter.formatErrorSync(error))
