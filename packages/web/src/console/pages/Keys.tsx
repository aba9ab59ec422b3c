/** The keys that sign access tokens. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import { type Action, Actions } from "../parts/Action.tsx"
import { Facts } from "../parts/Facts.tsx"
import { Title } from "../parts/Title.tsx"

type SigningKey = components["schemas"]["SigningKey"]

const actions: ReadonlyArray<Action<undefined>> = [
  {
    name: "rotateKey",
    permission: "key:write",
    danger: true,
    run: (_, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/keys/rotate", {
          params: { header: { "idempotency-key": key } },
          body: { reason },
        }),
      ),
    result: (made: SigningKey) => <Facts row={made} />,
  },
]

export const Page = () => {
  const t = useTranslations("console.keys")
  return (
    <>
      <Title page="keys">
        <Actions actions={actions} row={undefined} primary />
      </Title>
      <div className="panel">
        <p>
          {t("help")} <a href="/.well-known/jwks.json">{t("published")}</a>
        </p>
      </div>
    </>
  )
}
