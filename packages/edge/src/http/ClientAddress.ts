/**
 * Where a request comes from: the socket's peer, or, behind a trusted proxy, the last untrusted hop of
 * `X-Forwarded-For`. What an untrusted peer writes there is never believed.
 */
import { BlockList, isIP } from "node:net"

/** IPv4 in IPv6 clothes is one address, not two. */
const plain = (address: string): string => {
  const bare = address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address
  // A zone names an interface of ours, not the client.
  return bare.split("%", 1)[0]!
}

// A header of a proxy chain longer than this was not written by proxies.
const MAX_HOPS = 32

export interface TrustedProxies {
  readonly has: (address: string) => boolean
}

/** An IPv4 address as a number; -1 for what is none. */
export const numberOf = (address: string): number => {
  let value = 0
  let group = 0
  let digits = 0
  let groups = 0
  for (let i = 0; i <= address.length; i++) {
    const code = i === address.length ? DOT : address.charCodeAt(i)
    if (code === DOT) {
      if (digits === 0 || group > 255) return -1
      value = value * 256 + group
      group = 0
      digits = 0
      groups++
    } else {
      if (code < ZERO || code > NINE || ++digits > 3) return -1
      group = group * 10 + code - ZERO
    }
  }
  return groups === 4 ? value : -1
}

const DOT = 46
const ZERO = 48
const NINE = 57

/** A list of addresses and CIDR blocks; undefined where an entry is neither. */
export const trust = (entries: ReadonlyArray<string>): TrustedProxies | undefined => {
  // Node's own list takes as long for one address as all of a request's limits together.
  const blocks: Array<readonly [first: number, size: number]> = []
  const list = new BlockList()
  for (const entry of entries) {
    const [address, bits, ...rest] = entry.split("/")
    if (address === undefined || isIP(address) === 0 || rest.length > 0) return undefined
    const width = isIP(address) === 6 ? 128 : 32
    const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
    if (prefix < 0 || prefix > width) return undefined
    if (width === 128) list.addSubnet(address, prefix, "ipv6")
    else {
      const size = 2 ** (32 - prefix)
      const number = numberOf(address)
      blocks.push([number - (number % size), size])
    }
  }
  return {
    has: (address) => {
      const number = numberOf(address)
      return number >= 0
        ? blocks.some(([first, size]) => number >= first && number < first + size)
        : isIP(address) === 6 && list.check(address, "ipv6")
    },
  }
}

/** This machine, which dev trusts so that one machine can act as a crowd. */
export const LOOPBACK: ReadonlyArray<string> = ["127.0.0.0/8", "::1/128"]

/** The client's address, given the socket's peer and the `X-Forwarded-For` header. */
export const resolve = (
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: TrustedProxies,
): string => {
  let client = plain(peer ?? "0.0.0.0")
  if (forwardedFor === undefined || !trusted.has(client)) return client
  const hops = forwardedFor.split(",").slice(-MAX_HOPS)
  for (let i = hops.length - 1; i >= 0; i--) {
    const hop = plain(hops[i]!.trim())
    // Beyond a hop that isn't an address nothing can be known.
    if (isIP(hop) === 0) return client
    client = hop
    if (!trusted.has(hop)) return client
  }
  return client
}

/** The first four groups of an IPv6 address, `::` written out. */
const network = (address: string): string => {
  const [head = "", tail] = address.split("::")
  const groups = head === "" ? [] : head.split(":")
  if (tail !== undefined) {
    const last = tail === "" ? [] : tail.split(":")
    // An IPv4 tail stands for two groups.
    const width = last.length + (tail.includes(".") ? 1 : 0)
    while (groups.length + width < 8) groups.push("0")
    groups.push(...last)
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")
}

/**
 * Under what an address is limited: itself, but for IPv6 its /64, which is the least that one household gets and far
 * more addresses than anyone could count.
 */
export const limitKey = (address: string): string =>
  address.includes(":") ? `${network(address)}::/64` : address
