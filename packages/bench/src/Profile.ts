/**
 * Where a process spends its time, by source file: a CPU profile of V8, read with the source maps of the bundle. A
 * sample counts for the file of ours that is nearest to what ran, so what a library does is the doing of who called it.
 */
import { existsSync, readFileSync } from "node:fs"
import { type SourceMap, SourceMap as SourceMapReader } from "node:module"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

interface Frame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: Frame
    readonly children?: ReadonlyArray<number>
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

export interface Part {
  /** A source file, from the root; what runs without one of ours below it, by its own name. */
  readonly file: string
  /** Of the time in which the process did something. */
  readonly share: number
}

export interface Shares {
  /** The largest first. */
  readonly files: ReadonlyArray<Part>
  /** Functions by the time in themselves, the largest first. */
  readonly functions: ReadonlyArray<Part>
  readonly busySeconds: number
}

const IDLE = new Set(["(idle)", "(program)", "(root)"])

const maps = new Map<string, SourceMap | undefined>()

const mapOf = (url: string): SourceMap | undefined => {
  if (!maps.has(url)) {
    const file = `${fileURLToPath(url)}.map`
    maps.set(url, existsSync(file) ? new SourceMapReader(JSON.parse(readFileSync(file, "utf8"))) : undefined)
  }
  return maps.get(url)
}

/** The source file of a frame, from the root; undefined for what is Node's or V8's own. */
const sourceOf = ({ columnNumber, lineNumber, url }: Frame, root: string): string | undefined => {
  if (!url.startsWith("file:")) return undefined
  const entry = mapOf(url)?.findEntry(lineNumber, columnNumber)
  const source = entry !== undefined && "originalSource" in entry ? entry.originalSource : undefined
  return source === undefined ? undefined : relative(root, resolve(dirname(fileURLToPath(url)), source))
}

/** Reads a `.cpuprofile`; sources are named from `root`. */
export const read = (file: string, root: string): Shares => {
  const profile = JSON.parse(readFileSync(file, "utf8")) as CpuProfile
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map<number, number>()
  for (const { children = [], id } of profile.nodes) for (const child of children) parents.set(child, id)
  const sources = new Map(profile.nodes.map(({ callFrame, id }) => [id, sourceOf(callFrame, root)]))
  const ours = (source: string | undefined): source is string => source?.startsWith("packages/") === true

  const files = new Map<string, number>()
  const functions = new Map<string, number>()
  let busy = 0
  profile.samples.forEach((id, i) => {
    const deltaUs = profile.timeDeltas[i]!
    const frame = nodes.get(id)!.callFrame
    if (IDLE.has(frame.functionName)) return
    busy += deltaUs
    let node: number | undefined = id
    while (node !== undefined && !ours(sources.get(node))) node = parents.get(node)
    const owner = node === undefined ? undefined : sources.get(node)
    const where = sources.get(id)?.replace(/^.*node_modules\//, "") ?? frame.url
    const file =
      owner ?? (frame.functionName === "(garbage collector)" ? frame.functionName : `${where || "native"}`)
    files.set(file, (files.get(file) ?? 0) + deltaUs)
    const name = `${frame.functionName || "(anonymous)"} ${where}`.trim()
    functions.set(name, (functions.get(name) ?? 0) + deltaUs)
  })
  const parts = (of: ReadonlyMap<string, number>): ReadonlyArray<Part> =>
    [...of].sort(([, a], [, b]) => b - a).map(([name, us]) => ({ file: name, share: us / busy }))
  return { files: parts(files), functions: parts(functions), busySeconds: busy / 1e6 }
}
