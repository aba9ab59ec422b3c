/** Every change of a product's stock. */
import { Empty } from "antd"
import { useTranslations } from "use-intl"
import { useAddress } from "../parts/Address.tsx"
import { Filters } from "../parts/Filters.tsx"
import { ListPage } from "../parts/ListPage.tsx"
import { Title } from "../parts/Title.tsx"

const product = { name: "product_id", kind: "text", max: 16 } as const

export const Page = () => {
  const t = useTranslations("console.list")
  const { change, search } = useAddress()
  // The log is a product's: without one there is nothing to ask for.
  if (search["product_id"] === undefined) {
    return (
      <>
        <Title page="stock-log" />
        <Filters fields={[product]} search={search} onChange={change} />
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("chooseProduct")} />
      </>
    )
  }
  return (
    <ListPage
      page="stock-log"
      path="/admin/stock-log"
      id="id"
      columns={["id", "product_id", "kind", "delta", "ref", "actor_id", "reason", "created_at"]}
      filters={[product, { name: "kind", kind: "choice", options: ["initial", "order", "cancel", "adjust"] }]}
    />
  )
}
