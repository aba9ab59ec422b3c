/** What went wrong, in the reader's words: by the code, never by what the wire happened to say. */
import { type FloodgateError, isFloodgateError } from "@floodgate/client/FloodgateError"
import { Link } from "@tanstack/react-router"
import { Button } from "react-aria-components"
import { useTranslations } from "use-intl"

interface Props {
  readonly error: unknown
  readonly onRetry?: () => void
}

/** Codes after which asking again in the same way can help. */
const RETRIABLE: ReadonlySet<number> = new Set([408, 429, 500, 522, 530, 702])

const Where = ({ error }: { readonly error: FloodgateError }) => {
  const t = useTranslations("buy")
  const sign = useTranslations("sign")
  if (error.is(511) && error.data !== null) {
    return (
      <Link className="button quiet" to="/s/orders/$num" params={{ num: error.data.order_num }}>
        {t("seeOrder")}
      </Link>
    )
  }
  if (error.is(510) && (error.data?.left ?? 0) > 0)
    return <p>{t("fewerLeft", { left: error.data!.left! })}</p>
  if (error.is(401)) {
    return (
      <Link className="button quiet" to="/s/sign-in" search={{ next: location.pathname }}>
        {sign("in")}
      </Link>
    )
  }
  return null
}

export const ErrorNote = ({ error, onRetry }: Props) => {
  const t = useTranslations()
  if (!isFloodgateError(error)) {
    return (
      <div className="note bad" role="alert">
        <strong>{t("common.noAnswer")}</strong>
        <p>{t("common.noAnswerHelp")}</p>
        {onRetry && (
          <Button className="button quiet" onPress={onRetry}>
            {t("common.retry")}
          </Button>
        )}
      </div>
    )
  }
  const { code, retryAfterMs, traceId } = error
  return (
    <div className="note bad" role="alert">
      <strong>{t(`errors.${code}.title`)}</strong>
      <p>{t(`errors.${code}.help`)}</p>
      {retryAfterMs !== undefined && <p>{t("common.wait", { seconds: Math.ceil(retryAfterMs / 1000) })}</p>}
      {code === 500 && traceId !== undefined && <p className="fine">{t("common.trace", { id: traceId })}</p>}
      <Where error={error} />
      {onRetry && RETRIABLE.has(code) && (
        <Button className="button quiet" onPress={onRetry}>
          {t("common.retry")}
        </Button>
      )}
    </div>
  )
}
