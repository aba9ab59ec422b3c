/** Whether MySQL, Redis and the ledgers of money agree. */
import { unwrap } from "@floodgate/client/Client"
import { useQuery } from "@tanstack/react-query"
import { Alert, Button, Empty, Skeleton } from "antd"
import { useFormatter, useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import { csvOf, download } from "../parts/csv.ts"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { Rows } from "../parts/Rows.tsx"
import { Title } from "../parts/Title.tsx"

const columns = ["kind", "product_id", "order_num", "redis", "mysql", "ledger", "repaired"]

export const Page = () => {
  const t = useTranslations("console")
  const format = useFormatter()
  const found = useQuery({
    queryKey: ["reconciliation"],
    queryFn: ({ signal }) => unwrap(client.http.GET("/admin/reconciliation", { signal })),
    refetchInterval: 10_000,
  })
  if (found.error !== null) {
    return (
      <>
        <Title page="reconciliation" />
        <ErrorNote error={found.error} onRetry={() => void found.refetch()} />
      </>
    )
  }
  if (found.data === undefined) return <Skeleton active />
  const { checked_at, drift, ledgers_ok } = found.data
  return (
    <>
      <Title page="reconciliation">
        <Button disabled={drift.length === 0} onClick={() => download("reconciliation.csv", csvOf(drift))}>
          {t("list.csv")}
        </Button>
      </Title>
      <Alert
        className="explains"
        showIcon
        type={ledgers_ok ? "success" : "warning"}
        title={ledgers_ok ? t("reconciliation.ok") : t("reconciliation.notOk")}
        description={
          checked_at === null
            ? t("reconciliation.never")
            : t("reconciliation.checked", {
                when: format.dateTime(new Date(checked_at), { dateStyle: "short", timeStyle: "medium" }),
              })
        }
      />
      {drift.length === 0 ? (
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("reconciliation.none")} />
      ) : (
        <Rows
          rows={drift}
          columns={columns}
          idOf={({ kind, order_num, product_id }) => [kind, product_id, order_num].join(" ")}
        />
      )}
    </>
  )
}
