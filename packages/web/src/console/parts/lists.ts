/** The lists of the contract, by their paths: what the rows of each are, and how they are asked for. */
import { unwrap } from "@floodgate/client/Client"
import type { paths } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"

/** What a GET of this path answers. */
export type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": { data: infer D } } } } }
}
  ? D
  : never

/** Paths that answer a list. */
export type ListPath = {
  [P in keyof paths & `/admin/${string}`]: [Answer<P>] extends [{ items: ReadonlyArray<object> }] ? P : never
}[keyof paths & `/admin/${string}`]

export type RowOf<P extends ListPath> =
  Answer<P> extends { items: ReadonlyArray<infer R extends object> } ? R : never

/** Paths that answer one object. */
export type OnePath = Exclude<keyof paths & `/admin/${string}/{${string}}`, ListPath>

export interface Page<R> {
  readonly items: ReadonlyArray<R>
  readonly next_cursor: string | null
}

export interface Asking {
  readonly path?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number>>
  readonly signal?: AbortSignal
}

/**
 * What a GET answers. The types of a path that is a variable go beyond what TypeScript follows: callers say what comes,
 * and `ListPath` and `OnePath` hold them to it. Fails with `FloodgateError` or `NoAnswer`.
 */
export const answerOf = <A>(path: string, { path: inPath, query, signal }: Asking): Promise<A> =>
  unwrap(
    client.http.GET(path as never, { params: { path: inPath, query }, signal } as never) as never,
  ) as Promise<never>

/** One page of a list. Fails with `FloodgateError` or `NoAnswer`. */
export const listOf = async <P extends ListPath>(path: P, asking: Asking): Promise<Page<RowOf<P>>> => {
  const { items, next_cursor = null } = await answerOf<Partial<Page<RowOf<P>>>>(path, asking)
  return { items: items ?? [], next_cursor }
}

/** One object. Fails with `FloodgateError` or `NoAnswer`. */
export const oneOf = <R>(path: OnePath, id: string, signal?: AbortSignal): Promise<R> => {
  const name = /\{(\w+)\}/.exec(path)![1]!
  return answerOf<R>(path, { path: { [name]: id }, ...(signal && { signal }) })
}

/** The most rows of an export: 50 questions to the edge. */
export const MAX_EXPORT_ROWS = 5_000
const EXPORT_PAGE = 100

export interface Exported<R> {
  readonly rows: ReadonlyArray<R>
  /** Whether there are more than were taken. */
  readonly cut: boolean
}

/** All rows that the filters find, page by page, up to {@link MAX_EXPORT_ROWS}. */
export const allOf = async <R>(
  page: (query: Readonly<Record<string, string | number>>) => Promise<Page<R>>,
): Promise<Exported<R>> => {
  const rows: Array<R> = []
  let cursor: string | null = null
  do {
    const next: Page<R> = await page({ limit: EXPORT_PAGE, ...(cursor === null ? {} : { cursor }) })
    rows.push(...next.items)
    cursor = next.next_cursor
  } while (cursor !== null && rows.length < MAX_EXPORT_ROWS)
  return { rows: rows.slice(0, MAX_EXPORT_ROWS), cut: cursor !== null || rows.length > MAX_EXPORT_ROWS }
}
