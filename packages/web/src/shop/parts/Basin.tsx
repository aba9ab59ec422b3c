/** A basin behind a gate: its water stands as high as there is stock. The picture of the shop, and its stock bar. */
import type { Product } from "@floodgate/client/Client"

const WIDTH = 400
const HEIGHT = 240
const hues = ["tide", "plum", "moss", "dusk", "clay"] as const

const wave = (amplitude: number): string => {
  const quarter = WIDTH / 4
  let path = `M${-WIDTH} 0`
  for (let x = -WIDTH; x < WIDTH * 2; x += quarter) {
    path += `q${quarter / 2} ${x % (quarter * 2) === 0 ? -amplitude : amplitude} ${quarter} 0`
  }
  return `${path}V${HEIGHT * 2}H${-WIDTH}Z`
}

const back = wave(14)
const front = wave(20)

/** 0 to 1. */
export const levelOf = ({ initial_stock, status, stock }: Product): number =>
  status === "ended" || status === "withdrawn"
    ? 0
    : Math.max(0, Math.min(1, stock / Math.max(1, initial_stock)))

export const hueOf = (id: number): string => hues[id % hues.length]!

export const Basin = ({ product }: { readonly product: Product }) => {
  const level = levelOf(product)
  // A little air above a full basin, so that the surface is seen; below it where nothing is left.
  const surface = level === 0 ? HEIGHT + 24 : HEIGHT * (0.86 - 0.68 * level)
  return (
    <div className={`basin ${hueOf(product.id)}`} aria-hidden="true">
      {product.image !== null && <img src={product.image} alt="" loading="lazy" decoding="async" />}
      <svg aria-hidden="true" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
        <g className="water" style={{ transform: `translateY(${surface}px)` }}>
          <g transform="translate(-60 -9)">
            <path className="wave back" d={back} />
          </g>
          <path className="wave front" d={front} />
        </g>
      </svg>
      {product.image === null && <span className="initial">{Array.from(product.name.trim())[0]}</span>}
      <span className="gauge" />
    </div>
  )
}
