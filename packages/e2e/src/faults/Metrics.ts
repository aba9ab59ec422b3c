/** What a stack's processes show on their private ports: what alerts are made of. */
import type { World } from "./World.ts"

export type MeteredService = "edge" | "identity" | "inventory" | "ordering" | "payment"

const ANSWER_MS = 10_000

/** The samples of a family at every instance of a service, one after the other; an instance that is away has none. */
export const samples = async (
  world: World,
  service: MeteredService,
  family: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<ReadonlyArray<number>> => {
  const wanted = Object.entries(labels).map(([name, value]) => `${name}="${value}"`)
  const pages = await Promise.all(
    Array.from({ length: world.instancesOf(service) }, (_, i) =>
      fetch(`http://127.0.0.1:${world.stack.port(`${service}Ops`, i + 1)}/metrics`, {
        signal: AbortSignal.timeout(ANSWER_MS),
      }).then(
        (response) => response.text(),
        () => "",
      ),
    ),
  )
  return pages.flatMap((page) =>
    page.split("\n").flatMap((line) => {
      const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)/.exec(line)
      if (match === null || match[1] !== family) return []
      return wanted.every((label) => match[2]?.split(",").includes(label)) ? [Number(match[3])] : []
    }),
  )
}

export const sum = async (...of: Parameters<typeof samples>): Promise<number> =>
  (await samples(...of)).reduce((total, value) => total + value, 0)

/** The highest of all instances; 0 where nobody shows any. */
export const highest = async (...of: Parameters<typeof samples>): Promise<number> =>
  Math.max(0, ...(await samples(...of)))
