/** Rows of a list: a table where there is room for one, cards on a phone. */
import { Button, Empty, Grid, Table } from "antd"
import { useTranslations } from "use-intl"
import { Facts } from "./Facts.tsx"
import { useNames } from "./Names.ts"
import { Value } from "./Value.tsx"

interface Props<R> {
  readonly rows: ReadonlyArray<R>
  readonly columns: ReadonlyArray<string>
  readonly idOf: (row: R) => string
  readonly onOpen?: (row: R) => void
}

export const Rows = <R extends object>({ columns, idOf, onOpen, rows }: Props<R>) => {
  const t = useTranslations("console.list")
  const { field: nameOf } = useNames()
  const isWide = Grid.useBreakpoint().md === true
  if (rows.length === 0) return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("none")} />
  const opener = (row: R) =>
    onOpen && (
      <Button
        type="link"
        className="opener"
        aria-label={t("open", { name: idOf(row) })}
        onClick={() => onOpen(row)}
      >
        {t("details")}
      </Button>
    )
  if (!isWide) {
    return (
      <ul className="cards">
        {rows.map((row) => (
          <li key={idOf(row)}>
            <Facts row={row} names={columns} />
            {opener(row)}
          </li>
        ))}
      </ul>
    )
  }
  return (
    <Table<R>
      size="middle"
      rowKey={idOf}
      dataSource={[...rows]}
      pagination={false}
      scroll={{ x: "max-content" }}
      columns={[
        ...columns.map((name) => ({
          key: name,
          title: nameOf(name),
          render: (_: unknown, row: R) => (
            <Value name={name} value={(row as Readonly<Record<string, unknown>>)[name]} row={row} />
          ),
        })),
        ...(onOpen === undefined
          ? []
          : [
              {
                key: "open",
                title: <span className="unseen">{t("details")}</span>,
                fixed: "right" as const,
                render: (_: unknown, row: R) => opener(row),
              },
            ]),
      ]}
    />
  )
}
