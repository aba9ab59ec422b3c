/** Latency against rate as a picture, for readers of the README. */
import { writeFile } from "node:fs/promises"
import type { Outcome } from "./load/Plan.ts"
import * as Machine from "./Machine.ts"
import { mostAccepted } from "./rows/Rates.ts"
import { counted, type World } from "./World.ts"

interface Point {
  readonly offered: number
  readonly outcome: Outcome
}

const PARTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
const LINES = [
  { name: "p50", of: (o: Outcome) => o.p50, colour: "#2b8a3e" },
  { name: "p99", of: (o: Outcome) => o.p99, colour: "#e67700" },
  { name: "p99.9", of: (o: Outcome) => o.p999, colour: "#c92a2a" },
] as const

const [WIDTH, HEIGHT] = [720, 400]
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 24, 48, 56]

/** Latencies on a logarithmic axis, in whole decades of milliseconds. */
export const draw = (points: ReadonlyArray<Point>, machine: string): string => {
  const all = points.flatMap(({ outcome }) => LINES.map(({ of }) => of(outcome)))
  const low = Math.floor(Math.log10(Math.max(0.01, Math.min(...all))))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all))))
  const widest = Math.max(...points.map(({ offered }) => offered))
  const x = (offered: number) => LEFT + (offered / widest) * (WIDTH - LEFT - RIGHT)
  const y = (ms: number) =>
    TOP + (1 - (Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM)
  const at = (n: number) => n.toFixed(1)
  const text = (px: number, py: number, words: string, anchor = "middle", more = "") =>
    `<text x="${at(px)}" y="${at(py)}" text-anchor="${anchor}"${more}>${words}</text>`
  const decades = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map(
    (ms) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y(ms))}" y2="${at(y(ms))}" stroke="#ddd"/>` +
      text(LEFT - 8, y(ms) + 4, `${ms} ms`, "end"),
  )
  const rates = points.map(({ offered }) =>
    text(x(offered), HEIGHT - BOTTOM + 20, String(Math.round(offered))),
  )
  const lines = LINES.map(({ colour, name, of }) => {
    const line = points.map(({ offered, outcome }) => `${at(x(offered))},${at(y(of(outcome)))}`).join(" ")
    const last = points.at(-1)!
    return (
      `<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      text(x(last.offered) - 4, y(of(last.outcome)) - 8, name, "end", ` fill="${colour}"`)
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">`,
    `<title>Latency of an accepted reservation against the rate</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 24, "From a click to its 202, at a fixed rate", "start", ' font-size="15"'),
    ...decades,
    ...rates,
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20, "accepted reservations a second"),
    ...lines,
    text(WIDTH - RIGHT, HEIGHT - 4, machine, "end", ' font-size="9" fill="#777"'),
    "</svg>",
    "",
  ].join("\n")
}

/** Measures the path at parts of its highest rate and writes the picture. */
export const picture = async (world: World, file: string): Promise<void> => {
  const highest = await mostAccepted(world)
  const forMs = world.size.quick ? 2_000 : 15_000
  const { known } = world.size
  const points: Array<Point> = []
  for (const part of PARTS) {
    const offered = highest * part
    const width = Math.ceil((offered * forMs) / 1_000 / (known.to - known.from))
    const products = await world.sell(width)
    const outcome = await world.load.run({
      port: world.port,
      connections: 256,
      requests: { kind: "buy", products, buyers: known, keyed: true },
      warmUp: Math.round(offered / 5),
      most: Number.MAX_SAFE_INTEGER,
      forMs,
      rate: offered,
    })
    const { busy, expected } = counted(outcome, "202")
    await world.settled(products, expected, busy)
    points.push({ offered, outcome })
    world.progress(`picture: ${offered.toFixed(0)} /s`)
  }
  await writeFile(file, draw(points, Machine.describe().replace(/, load before.*$/, "")))
}
