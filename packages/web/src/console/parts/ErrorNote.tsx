/** What went wrong, in words by its code, with what finds the request in every log. */
import { isFloodgateError } from "@floodgate/client/FloodgateError"
import { Alert, Button } from "antd"
import { useTranslations } from "use-intl"
import type { ConsoleWords } from "../../texts/Words.ts"

type Own = keyof ConsoleWords["errors"]

interface Props {
  readonly error: unknown
  readonly onRetry?: () => void
}

export const ErrorNote = ({ error, onRetry }: Props) => {
  const t = useTranslations()
  const again =
    onRetry === undefined ? null : (
      <Button size="small" onClick={onRetry}>
        {t("common.retry")}
      </Button>
    )
  if (!isFloodgateError(error)) {
    return (
      <Alert
        type="error"
        showIcon
        role="alert"
        title={t("common.noAnswer")}
        description={t("common.noAnswerHelp")}
        action={again}
      />
    )
  }
  const code = `${error.code}` as const
  // The storefront speaks to buyers; of some codes an operator has to hear something else.
  const isOwn = (code: string): code is Own => t.has(`console.errors.${code as Own}`)
  const issues = error.is(400) ? (error.data?.issues ?? []) : []
  return (
    <Alert
      type="error"
      showIcon
      role="alert"
      title={`${t(`errors.${code}.title`)} (${code})`}
      action={again}
      description={
        <>
          <p>{isOwn(code) ? t(`console.errors.${code}`) : t(`errors.${code}.help`)}</p>
          {error.is(520) && typeof error.data?.state === "string" && (
            <p>{t("console.shell.stateNow", { state: error.data.state })}</p>
          )}
          {issues.length > 0 && (
            <ul>
              {issues.map(({ message, path }) => (
                <li key={`${path} ${message}`}>
                  <code>{path}</code> {message}
                </li>
              ))}
            </ul>
          )}
          {error.retryAfterMs !== undefined && (
            <p>{t("common.wait", { seconds: Math.ceil(error.retryAfterMs / 1000) })}</p>
          )}
          {error.traceId !== undefined && <p className="fine">{t("common.trace", { id: error.traceId })}</p>}
        </>
      }
    />
  )
}
