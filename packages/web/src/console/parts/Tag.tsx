/** A word that stands for a state, in the colour that says how it is. (antd's own are too faint to be read by all.) */
import type { ReactNode } from "react"

export type Tone = "plain" | "good" | "calm" | "busy" | "bad"

export const Tag = ({ children, tone = "plain" }: { readonly children: ReactNode; readonly tone?: Tone }) => (
  <span className={`tag ${tone}`}>{children}</span>
)
