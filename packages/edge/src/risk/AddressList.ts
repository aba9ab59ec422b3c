/** Black, grey and white addresses, compiled so that a lookup costs next to nothing, whatever is listed. */
import type { ListName } from "@floodgate/contracts/http/Risk"
import ipaddr from "ipaddr.js"
import { numberOf } from "../http/ClientAddress.ts"
import { Generations } from "../limits/Generations.ts"

export interface Entry {
  readonly cidr: string
  readonly list: ListName
  /** By the edge's own steady clock (ms); undefined: for good. */
  readonly expiresMs: number | undefined
}

export interface AddressList {
  /** The entry that decides about an address: white before black before grey. */
  readonly find: (address: string, nowMs: number) => Entry | undefined
}

/** Addresses whose verdict is remembered; twice as many at most. */
const REMEMBERED = 20_000

const rank: Record<ListName, number> = { white: 0, black: 1, grey: 2 }

/**
 * The one way to write a block: lower case, without leading zeros, IPv4 never in IPv6 clothes. Undefined where it is no
 * block, or where bits are set beyond its prefix: which of the two was meant can't be known.
 */
export const normalize = (text: string): string | undefined => {
  const [address = "", bits, ...rest] = text.split("/")
  if (rest.length > 0 || !isAddress(address)) return undefined
  const parsed = ipaddr.parse(address)
  const mapped = parsed.kind() === "ipv6" && (parsed as ipaddr.IPv6).isIPv4MappedAddress()
  const plain = mapped ? (parsed as ipaddr.IPv6).toIPv4Address() : parsed
  const width = plain.kind() === "ipv4" ? 32 : 128
  const wide = mapped ? 96 : 0
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined
  const prefix = bits === undefined ? width : Number(bits) - wide
  if (prefix < 0 || prefix > width) return undefined
  const bytes = plain.toByteArray()
  for (let bit = prefix; bit < width; bit++) {
    if ((bytes[bit >> 3]! & (0x80 >> (bit & 7))) !== 0) return undefined
  }
  return `${plain.toString()}/${prefix}`
}

/** Dotted quads and IPv6 only: ipaddr.js also reads `127.1`, which people don't mean. */
const isAddress = (text: string): boolean =>
  text.includes(":")
    ? ipaddr.IPv6.isValid(text) && !text.includes("%")
    : ipaddr.IPv4.isValidFourPartDecimal(text)

/** Every block that an address falls under, as {@link normalize} writes them; none where it is no address. */
export const covering = (address: string): ReadonlyArray<string> => {
  if (address.includes("/") || normalize(address) === undefined) return []
  const parsed = ipaddr.process(address)
  const bytes = parsed.toByteArray()
  return Array.from({ length: bytes.length * 8 + 1 }, (_, prefix) => {
    const masked = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - i * 8))) & 0xff)
    return `${ipaddr.fromByteArray(masked).toString()}/${prefix}`
  })
}

/** The first `prefix` bits as a text. */
const head = (bytes: ReadonlyArray<number>, prefix: number): string => {
  const whole = prefix >> 3
  let text = String.fromCharCode(...bytes.slice(0, whole))
  if ((prefix & 7) !== 0) text += String.fromCharCode(bytes[whole]! & (0xff << (8 - (prefix & 7))))
  return text
}

const put = <K>(tables: Map<number, Map<K, Entry>>, prefix: number, key: K, entry: Entry): void => {
  const table = tables.get(prefix) ?? new Map<K, Entry>()
  tables.set(prefix, table)
  table.set(key, entry)
}

/** `entries` have been normalized. */
export const compile = (entries: ReadonlyArray<Entry>): AddressList => {
  if (entries.length === 0) return { find: () => undefined }
  // By prefix: a lookup tries each length that occurs, which is a handful.
  const four = new Map<number, Map<number, Entry>>()
  const six = new Map<number, Map<string, Entry>>()
  for (const entry of entries) {
    const [address = "", bits = ""] = entry.cidr.split("/")
    const prefix = Number(bits)
    const number = numberOf(address)
    if (number >= 0) put(four, prefix, Math.floor(number / 2 ** (32 - prefix)), entry)
    else put(six, prefix, head(ipaddr.parse(address).toByteArray(), prefix), entry)
  }
  const remembered = new Generations<string, { readonly entry: Entry | undefined }>(REMEMBERED)

  const search = (address: string, nowMs: number): Entry | undefined => {
    let found: Entry | undefined
    const consider = (entry: Entry | undefined): void => {
      if (entry === undefined || (entry.expiresMs ?? Number.POSITIVE_INFINITY) <= nowMs) return
      if (found === undefined || rank[entry.list] < rank[found.list]) found = entry
    }
    const number = numberOf(address)
    if (number >= 0) {
      for (const [prefix, table] of four) consider(table.get(Math.floor(number / 2 ** (32 - prefix))))
    } else if (six.size > 0 && isAddress(address)) {
      const bytes = ipaddr.parse(address).toByteArray()
      for (const [prefix, table] of six) consider(table.get(head(bytes, prefix)))
    }
    return found
  }

  return {
    find: (address, nowMs) => {
      const known = remembered.get(address)
      if (known !== undefined && (known.entry?.expiresMs ?? Number.POSITIVE_INFINITY) > nowMs)
        return known.entry
      const entry = search(address, nowMs)
      remembered.set(address, { entry })
      return entry
    },
  }
}
