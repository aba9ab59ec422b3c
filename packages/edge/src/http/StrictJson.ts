/**
 * JSON (RFC 8259) as a careful reader takes it: a repeated key, a `__proto__` key, invalid UTF-8 and deep nesting are
 * errors instead of surprises, because two readers of such a text may see two different things.
 */
import { isUtf8 } from "node:buffer"

/** Deeper nesting than any request of ours has, and shallow enough for every stack. */
export const MAX_DEPTH = 32

export type Parsed = { readonly ok: true; readonly value: unknown } | { readonly ok: false }

const malformed: Parsed = { ok: false }

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Thrown inside this module only, and caught at its edge: recursion has no cheaper way out. */
class Malformed extends Error {}
Malformed.prototype.stack = ""
const MALFORMED = new Malformed()

class Reader {
  private at = 0
  private readonly text: string

  constructor(text: string) {
    this.text = text
  }

  document(): unknown {
    this.blanks()
    const value = this.value(0)
    this.blanks()
    if (this.at !== this.text.length) throw MALFORMED
    return value
  }

  private blanks(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at)
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return
      this.at++
    }
  }

  private value(depth: number): unknown {
    switch (this.text.charCodeAt(this.at)) {
      case 0x7b:
        return this.object(depth)
      case 0x5b:
        return this.array(depth)
      case QUOTE:
        return this.string()
      case 0x74:
        return this.word("true", true)
      case 0x66:
        return this.word("false", false)
      case 0x6e:
        return this.word("null", null)
      default:
        return this.number()
    }
  }

  private word<A>(text: string, value: A): A {
    if (!this.text.startsWith(text, this.at)) throw MALFORMED
    this.at += text.length
    return value
  }

  private number(): number {
    NUMBER.lastIndex = this.at
    const match = NUMBER.exec(this.text)
    if (match === null) throw MALFORMED
    this.at = NUMBER.lastIndex
    return Number(match[0])
  }

  private string(): string {
    const start = this.at + 1
    for (let i = start; ; i++) {
      const c = this.text.charCodeAt(i)
      if (c === QUOTE) {
        this.at = i + 1
        return this.text.slice(start, i)
      }
      if (c === BACKSLASH) return this.escaped(start)
      // NaN (the end of the text) fails this comparison as well.
      if (!(c >= 0x20)) throw MALFORMED
    }
  }

  private escaped(start: number): string {
    let end = start
    for (; this.text.charCodeAt(end) !== QUOTE; end++) {
      if (end >= this.text.length) throw MALFORMED
      if (this.text.charCodeAt(end) === BACKSLASH) end++
    }
    this.at = end + 1
    return JSON.parse(this.text.slice(start - 1, end + 1)) as string
  }

  private object(depth: number): Record<string, unknown> {
    if (depth === MAX_DEPTH) throw MALFORMED
    const result: Record<string, unknown> = {}
    this.at++
    this.blanks()
    if (this.text.charCodeAt(this.at) === 0x7d) {
      this.at++
      return result
    }
    for (;;) {
      if (this.text.charCodeAt(this.at) !== QUOTE) throw MALFORMED
      const key = this.string()
      if (key === "__proto__" || Object.hasOwn(result, key)) throw MALFORMED
      this.blanks()
      if (this.text.charCodeAt(this.at) !== 0x3a) throw MALFORMED
      this.at++
      this.blanks()
      result[key] = this.value(depth + 1)
      this.blanks()
      const c = this.text.charCodeAt(this.at++)
      if (c === 0x7d) return result
      if (c !== 0x2c) throw MALFORMED
      this.blanks()
    }
  }

  private array(depth: number): Array<unknown> {
    if (depth === MAX_DEPTH) throw MALFORMED
    const result: Array<unknown> = []
    this.at++
    this.blanks()
    if (this.text.charCodeAt(this.at) === 0x5d) {
      this.at++
      return result
    }
    for (;;) {
      result.push(this.value(depth + 1))
      this.blanks()
      const c = this.text.charCodeAt(this.at++)
      if (c === 0x5d) return result
      if (c !== 0x2c) throw MALFORMED
      this.blanks()
    }
  }
}

/** The value of a JSON text; `ok: false` where it isn't strict JSON in UTF-8. */
export const parse = (bytes: Buffer): Parsed => {
  if (!isUtf8(bytes)) return malformed
  try {
    return { ok: true, value: new Reader(bytes.toString("utf8")).document() }
  } catch {
    return malformed
  }
}
