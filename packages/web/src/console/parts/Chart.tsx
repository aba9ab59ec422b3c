/** Lines over time, drawn anew as points come. */
import { theme } from "antd"
import { useEffect, useRef } from "react"
import uPlot from "uplot"
import { useLanguage } from "../../texts/Language.tsx"
import "uplot/dist/uPlot.min.css"

export interface Line {
  readonly label: string
  readonly values: ReadonlyArray<number | null>
}

interface Props {
  /** For those who don't see it: what is drawn, and how it stands. */
  readonly label: string
  /** Unix ms, ascending. */
  readonly at: ReadonlyArray<number>
  readonly lines: ReadonlyArray<Line>
}

const HEIGHT = 220

/** Apart from each other also for those who don't tell red from green. */
const light = ["#0d5c63", "#d9480f", "#6741d9", "#2b8a3e"]
const dark = ["#7fd4cf", "#ff9d76", "#b8a4ff", "#8ce99a"]

const isDark = (hex: string): boolean => Number.parseInt(hex.slice(1, 3), 16) < 128

export const Chart = ({ at, label, lines }: Props) => {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const { language } = useLanguage()
  const { token } = theme.useToken()
  const labels = lines.map((line) => line.label).join("\n")
  const data: uPlot.AlignedData = [at.map((ms) => ms / 1000), ...lines.map(({ values }) => [...values])]
  const latest = useRef(data)
  latest.current = data

  useEffect(() => {
    const parent = box.current
    if (parent === null) return
    const colors = isDark(token.colorBgContainer) ? dark : light
    const axis: uPlot.Axis = {
      stroke: token.colorTextSecondary,
      grid: { stroke: token.colorBorderSecondary, width: 1 },
      ticks: { stroke: token.colorBorderSecondary, width: 1 },
    }
    const time = new Intl.DateTimeFormat(language, { timeStyle: "medium" })
    const made = new uPlot(
      {
        width: parent.clientWidth,
        height: HEIGHT,
        // One line is named by its heading.
        legend: { show: labels.includes("\n") },
        cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [
          { ...axis, values: (_, seconds) => seconds.map((s) => time.format(s * 1000)), space: 90 },
          { ...axis, size: 56 },
        ],
        series: [
          { value: (_, s) => (s === null ? "—" : time.format(s * 1000)), label: "" },
          ...labels.split("\n").map((name, n) => ({
            label: name,
            stroke: colors[n % colors.length]!,
            width: 2,
            points: { show: false },
          })),
        ],
      },
      latest.current,
      parent,
    )
    plot.current = made
    const resized = new ResizeObserver(() => made.setSize({ width: parent.clientWidth, height: HEIGHT }))
    resized.observe(parent)
    return () => {
      resized.disconnect()
      made.destroy()
    }
  }, [labels, language, token])

  useEffect(() => plot.current?.setData(data))

  return <div className="chart" role="img" aria-label={label} ref={box} />
}
