/**
 * The format of `ops/config/<APP_ENV>.env`: `KEY=value` lines, `#` comments, optional quotes around a value. No
 * interpolation and no multi-line values: a file that needs them is hard to read at 3 a.m.
 */

/** What a file says, and what of it can't be read (1-based line numbers). */
export interface EnvFile {
  readonly values: ReadonlyMap<string, string>
  readonly malformedLines: ReadonlyArray<number>
}

const LINE = /^([A-Z][A-Z0-9_]*)\s*=\s*(.*)$/

const unquoted = (value: string): string => {
  const first = value[0]
  return value.length >= 2 && (first === '"' || first === "'") && value.endsWith(first)
    ? value.slice(1, -1)
    : value
}

/** Reads the text of an env file. A repeated key is malformed: one of the two values was meant to be another key's. */
export const parse = (text: string): EnvFile => {
  const values = new Map<string, string>()
  const malformedLines: Array<number> = []
  text.split(/\r?\n/).forEach((raw, index) => {
    const line = raw.trim()
    if (line === "" || line.startsWith("#")) return
    const match = LINE.exec(line)
    const key = match?.[1]
    if (key === undefined || values.has(key)) {
      malformedLines.push(index + 1)
      return
    }
    values.set(key, unquoted((match?.[2] ?? "").trim()))
  })
  return { values, malformedLines }
}
