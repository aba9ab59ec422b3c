/** Answers a list of the console, as JSON by the page or as CSV with every page there is. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as AdminList from "@floodgate/contracts/http/AdminList"
import * as Csv from "@floodgate/contracts/http/Csv"
import { DEFAULT_LIMIT, MAX_LIMIT } from "@floodgate/contracts/http/Page"
import * as Effect from "effect/Effect"

export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly next_cursor: string | null
}

export interface ListOptions<A, E, R> {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly query: AdminList.Query
  /** The name of the export's file, without its ending. */
  readonly name: string
  /** The columns of an export, in order. */
  readonly columns: ReadonlyArray<keyof A & string>
  readonly page: (at: { readonly limit: number; readonly cursor?: string }) => Effect.Effect<Page<A>, E, R>
}

/** Where the next export goes on, with the same filters. */
const nextLink = (url: string, cursor: string): string => {
  const next = new URL(url, "http://edge")
  next.searchParams.set("cursor", cursor)
  return `<${next.pathname}${next.search}>; rel="next"`
}

const csv = <A extends object, E, R>(options: ListOptions<A, E, R>) =>
  Effect.gen(function* () {
    const { columns, name, page, query, request } = options
    const wanted = query.limit ?? AdminList.MAX_CSV_ROWS
    const items: Array<A> = []
    let cursor: string | null | undefined = query.cursor
    do {
      const got: Page<A> = yield* page({
        limit: Math.min(wanted - items.length, MAX_LIMIT),
        ...(cursor === undefined ? undefined : { cursor }),
      })
      items.push(...got.items)
      cursor = got.next_cursor
    } while (cursor !== null && items.length < wanted)
    return HttpServerResponse.text(Csv.of(columns, items), {
      contentType: Csv.CONTENT_TYPE,
      headers: {
        "content-disposition": `attachment; filename="${name}.csv"`,
        ...(cursor === null ? undefined : { link: nextLink(request.url, cursor) }),
      },
    })
  })

export const answer = <A extends object, E, R>(
  options: ListOptions<A, E, R>,
): Effect.Effect<Page<A> | HttpServerResponse.HttpServerResponse, E, R> => {
  const { page, query } = options
  return query.format === "csv"
    ? csv(options)
    : page({
        limit: query.limit ?? DEFAULT_LIMIT,
        ...(query.cursor === undefined ? undefined : { cursor: query.cursor }),
      })
}

/** A query's span of time as the services take it: 0 for an open end. */
export const spanOf = (query: AdminList.Query) => ({
  fromMs: BigInt(query.from ?? 0),
  toMs: BigInt(query.to ?? 0),
})
