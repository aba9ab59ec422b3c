/** What a product's sale depends on, checked again and again. */

import { CheckCircleTwoTone, CloseCircleTwoTone } from "@ant-design/icons"
import { unwrap } from "@floodgate/client/Client"
import { useQuery } from "@tanstack/react-query"
import { Skeleton } from "antd"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import { ErrorNote } from "./ErrorNote.tsx"
import { useNames } from "./Names.ts"
import { Tag } from "./Tag.tsx"

const AGAIN_MS = 5_000

export const Readiness = ({ id }: { readonly id: number }) => {
  const t = useTranslations("console.sale")
  const { word } = useNames()
  const readiness = useQuery({
    queryKey: ["readiness", id],
    queryFn: ({ signal }) =>
      unwrap(
        client.http.GET("/admin/products/{id}/readiness", { params: { path: { id: String(id) } }, signal }),
      ),
    refetchInterval: AGAIN_MS,
  })
  if (readiness.error !== null) return <ErrorNote error={readiness.error} />
  if (readiness.data === undefined) return <Skeleton active title={false} />
  const { checks, ready } = readiness.data
  return (
    // What is well needs no reading.
    <details className="readiness" key={String(ready)} open={!ready}>
      <summary>
        <Tag tone={ready ? "good" : "bad"}>{ready ? t("ready") : t("notReady")}</Tag>
        <span className="fine">
          {t("checks", { ok: checks.filter(({ ok }) => ok).length, n: checks.length })}
        </span>
      </summary>
      <ul className="checks">
        {checks.map(({ check, detail, ok }) => (
          <li key={check}>
            {ok ? (
              <CheckCircleTwoTone twoToneColor="#2b8a3e" aria-label={word("yes")} />
            ) : (
              <CloseCircleTwoTone twoToneColor="#c92a2a" aria-label={word("no")} />
            )}
            <span>
              {word(`check_${check}`)} <span className="fine">{detail}</span>
            </span>
          </li>
        ))}
      </ul>
    </details>
  )
}
