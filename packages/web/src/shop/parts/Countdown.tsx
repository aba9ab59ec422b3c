/** The time that is left, large. For the ear it is one sentence, and it doesn't interrupt. */
import { useTranslations } from "use-intl"
import { useSecondsUntil } from "../../live/Clock.ts"

const two = (n: number): string => String(n).padStart(2, "0")

export const partsOf = (seconds: number) => ({
  days: Math.floor(seconds / 86_400),
  hours: Math.floor(seconds / 3_600) % 24,
  minutes: Math.floor(seconds / 60) % 60,
  seconds: seconds % 60,
})

interface Props {
  readonly until: string
  readonly label: string
  readonly size: "large" | "small"
}

export const Countdown = ({ label, size, until }: Props) => {
  const t = useTranslations("product")
  const left = useSecondsUntil(until) ?? 0
  const parts = partsOf(left)
  const cells = [
    ...(parts.days > 0 ? [["days", String(parts.days), t("days", { n: parts.days })] as const] : []),
    ...(left >= 3_600 ? [["hours", two(parts.hours), t("hours")] as const] : []),
    ["minutes", two(parts.minutes), t("minutes")] as const,
    ["seconds", two(parts.seconds), t("seconds")] as const,
  ]
  return (
    <div
      className={`countdown ${size}`}
      role="timer"
      aria-live="off"
      aria-label={`${label}: ${t("countdown", parts)}`}
    >
      <span className="countdown-label" aria-hidden="true">
        {label}
      </span>
      <span className="countdown-cells" aria-hidden="true">
        {cells.map(([name, value, unit]) => (
          <span className="cell" key={name}>
            <b>{value}</b>
            <i>{unit}</i>
          </span>
        ))}
      </span>
    </div>
  )
}
