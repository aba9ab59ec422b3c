/**
 * A page made of a list: which one, which of its fields, by what it is searched, and what can be done. Filters, the place
 * in the list and the object that is open are in the address.
 */
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query"
import { useRouter } from "@tanstack/react-router"
import { App, Button, Drawer, Skeleton } from "antd"
import { type ReactNode, useState } from "react"
import { useTranslations } from "use-intl"
import type { PageName } from "../pages.ts"
import { type Action, Actions } from "./Action.tsx"
import { useAddress } from "./Address.tsx"
import { csvOf, download } from "./csv.ts"
import { ErrorNote } from "./ErrorNote.tsx"
import { Facts } from "./Facts.tsx"
import { Filters } from "./Filters.tsx"
import type { Field } from "./fields.ts"
import { allOf, type ListPath, listOf, MAX_EXPORT_ROWS, type OnePath, oneOf, type RowOf } from "./lists.ts"
import { Rows } from "./Rows.tsx"
import { Title } from "./Title.tsx"

const ROWS = 20

/** Most lists can be narrowed to a time; `from` is included, `to` isn't. */
const period: ReadonlyArray<Field> = [
  { name: "from", kind: "time" },
  { name: "to", kind: "time" },
]

interface Props<P extends ListPath> {
  readonly page: PageName
  readonly path: P
  /** What the path has in braces. */
  readonly inPath?: Readonly<Record<string, string>>
  /** What an object is known by. */
  readonly id: (keyof RowOf<P> & string) | ((row: RowOf<P>) => string)
  /** The fields that the list shows. */
  readonly columns: ReadonlyArray<keyof RowOf<P> & string>
  readonly filters?: ReadonlyArray<Field>
  /** It can't be narrowed to a time. */
  readonly timeless?: boolean
  /** It comes whole: no pages. */
  readonly whole?: boolean
  /** Where an object is fetched that isn't on this page of the list, or has more to it by itself. */
  readonly one?: OnePath
  /** What can be done to an object. */
  readonly actions?: ReadonlyArray<Action<RowOf<P>>>
  /** What can be done without one, such as making one. */
  readonly create?: ReadonlyArray<Action<undefined>>
  /** What belongs to an object beside its fields. */
  readonly more?: (props: { readonly row: RowOf<P> }) => ReactNode
}

export const ListPage = <P extends ListPath>(props: Props<P>) => {
  const { actions = [], columns, create = [], filters = [], id, inPath, one, page, path } = props
  const { more: More, timeless = false, whole = false } = props
  type Row = RowOf<P>
  const t = useTranslations("console")
  const { message } = App.useApp()
  const { change, search } = useAddress()
  const router = useRouter()
  const [hasGoneOn, setHasGoneOn] = useState(false)

  const fields = timeless ? filters : [...filters, ...period]
  const found = Object.fromEntries(
    fields.flatMap(({ name }) => (search[name] === undefined ? [] : [[name, search[name]]])),
  )
  const ask = (query: Readonly<Record<string, string | number>>, signal?: AbortSignal) =>
    listOf(path, {
      query: whole ? {} : { ...query, ...found },
      ...(inPath && { path: inPath }),
      ...(signal && { signal }),
    })
  const cursor = search["cursor"]
  const list = useQuery({
    queryKey: ["list", path, inPath, found, cursor],
    queryFn: ({ signal }) => ask({ limit: ROWS, ...(cursor !== undefined && { cursor }) }, signal),
    placeholderData: keepPreviousData,
  })
  const rows = list.data?.items ?? []
  const next = list.data?.next_cursor ?? null
  const idOf = (row: Row): string => String(typeof id === "function" ? id(row) : row[id])

  const shown = search["show"]
  const fetched = useQuery({
    queryKey: ["one", one, shown],
    queryFn: ({ signal }) => oneOf<Row>(one!, shown!, signal),
    enabled: one !== undefined && shown !== undefined,
  })
  const open = shown === undefined ? undefined : (fetched.data ?? rows.find((row) => idOf(row) === shown))

  const save = useMutation({
    mutationFn: () => allOf((query) => ask(query)),
    onSuccess: ({ cut, rows }) => {
      download(`${page}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`, csvOf(rows))
      if (cut) void message.warning(t("list.cut", { n: MAX_EXPORT_ROWS }))
    },
  })

  return (
    <>
      <Title page={page}>
        <Button onClick={() => void list.refetch()} loading={list.isRefetching}>
          {t("list.reload")}
        </Button>
        <Button onClick={() => save.mutate()} loading={save.isPending}>
          {t("list.csv")}
        </Button>
        <Actions actions={create} row={undefined} primary />
      </Title>
      {fields.length > 0 && (
        <Filters
          fields={fields}
          search={search}
          onChange={(filled) => change({ ...filled, cursor: undefined, show: undefined })}
        />
      )}
      {save.error !== null && <ErrorNote error={save.error} />}
      {list.error !== null ? (
        <ErrorNote error={list.error} onRetry={() => void list.refetch()} />
      ) : list.isPending ? (
        <Skeleton active />
      ) : (
        <Rows rows={rows} columns={columns} idOf={idOf} onOpen={(row) => change({ show: idOf(row) })} />
      )}
      {(cursor !== undefined || next !== null) && (
        <nav className="pager" aria-label={t("list.pages")}>
          <Button disabled={cursor === undefined} onClick={() => change({ cursor: undefined })}>
            {t("list.first")}
          </Button>
          {/* A keyset has no way back but the one that was come by. */}
          <Button disabled={cursor === undefined || !hasGoneOn} onClick={() => router.history.back()}>
            {t("list.previous")}
          </Button>
          <Button
            disabled={next === null || list.isPlaceholderData}
            onClick={() => {
              setHasGoneOn(true)
              change({ cursor: next ?? undefined, show: undefined })
            }}
          >
            {t("list.next")}
          </Button>
        </nav>
      )}
      <Drawer
        open={shown !== undefined}
        title={`${t(`page.${page}.one`)} ${shown ?? ""}`}
        size={640}
        closable={{ "aria-label": t("shell.close") }}
        onClose={() => change({ show: undefined })}
      >
        {open !== undefined ? (
          <>
            <Actions actions={actions} row={open} about={idOf(open)} />
            {More !== undefined && <More row={open} />}
            <Facts row={open} />
          </>
        ) : fetched.error !== null ? (
          <ErrorNote error={fetched.error} onRetry={() => void fetched.refetch()} />
        ) : fetched.isLoading || list.isPending ? (
          <Skeleton active />
        ) : (
          <p>{t("list.notHere")}</p>
        )}
      </Drawer>
    </>
  )
}
