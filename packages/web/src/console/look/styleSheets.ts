/**
 * Stands in for the modules by which antd and its icons add `<style>` elements (`@rc-component/util/es/Dom/dynamicCSS`,
 * `@ant-design/icons/es/cssUtils`; vite.config.ts puts it there). The content policy forbids those, and a nonce would have to be made anew for each
 * answer, while pages come out of memory with an ETag. Style sheets that are constructed by script are the script's own
 * doing, which the policy trusts already.
 */

interface Options {
  /** The attribute that the key is of; each has keys of its own. */
  readonly mark?: string
  /** `queue`: by priority, lower first, before what is appended. True: before everything. */
  readonly prepend?: boolean | "queue"
  readonly priority?: number
}

interface Entry {
  readonly id: string
  readonly rank: number
  readonly sheet: CSSStyleSheet
  /** What callers put their marks on. It is never part of the document, so it styles nothing and offends nobody. */
  readonly handle: HTMLStyleElement
}

const entries: Array<Entry> = []

const idOf = (key: string, { mark = "" }: Options): string => `${mark} ${key}`

const rankOf = ({ prepend = false, priority = 0 }: Options): number => {
  if (prepend === "queue") return priority
  return prepend ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

const apply = (): void => {
  document.adoptedStyleSheets = entries.map(({ sheet }) => sheet)
}

const add = (css: string, id: string, options: Options): HTMLStyleElement => {
  const entry: Entry = {
    id,
    rank: rankOf(options),
    sheet: new CSSStyleSheet(),
    handle: document.createElement("style"),
  }
  entry.sheet.replaceSync(css)
  const after = entries.findIndex(({ rank }) => rank > entry.rank)
  entries.splice(after === -1 ? entries.length : after, 0, entry)
  apply()
  return entry.handle
}

let unnamed = 0

export const injectCSS = (css: string, options: Options = {}): HTMLStyleElement =>
  add(css, idOf(`unnamed-${unnamed++}`, options), options)

export const updateCSS = (css: string, key: string, options: Options = {}): HTMLStyleElement => {
  const id = idOf(key, options)
  const known = entries.find((entry) => entry.id === id)
  if (known === undefined) return add(css, id, options)
  known.sheet.replaceSync(css)
  return known.handle
}

export const removeCSS = (key: string, options: Options = {}): void => {
  const id = idOf(key, options)
  const at = entries.findIndex((entry) => entry.id === id)
  if (at === -1) return
  entries.splice(at, 1)
  apply()
}

/** Nothing is remembered of containers here. */
export const clearContainerCache = (): void => undefined

/** The icons ask whether they are in a shadow root, whose sheets would be others: none of ours is. */
export const getShadowRoot = (): null => null

/** For developers of the icons. */
export const warningOnce = (): void => undefined
