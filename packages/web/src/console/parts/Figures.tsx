/** Numbers with their names. */
import type { ReactNode } from "react"

export const Figures = ({ figures }: { readonly figures: ReadonlyArray<readonly [string, ReactNode]> }) => (
  <dl className="figures">
    {figures.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
)
