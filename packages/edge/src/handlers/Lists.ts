/** What lists have in common: the services speak of pages, the contract of `limit` and `cursor`. */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import * as Effect from "effect/Effect"

const names: Record<string, string> = { page_token: "cursor", page_size: "limit" }

const renamed = (error: InvalidInput): InvalidInput =>
  new InvalidInput({
    issues: error.issues.map((issue) => ({ ...issue, path: names[issue.path] ?? issue.path })),
  })

/** The service's page request for a query. */
export const pageOf = (query: { readonly limit: number; readonly cursor?: string }) => ({
  pageSize: query.limit,
  pageToken: query.cursor ?? "",
})

/** Null at the end. */
export const nextCursor = (token: string): string | null => (token === "" ? null : token)

/** Tells a bad page token by the name that the client knows. */
export const withQueryNames = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapError(self, (error) => (error instanceof InvalidInput ? (renamed(error) as E) : error))
