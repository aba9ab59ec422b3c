/**
 * Which addresses are anybody's on the internet. A URL that somebody registers must not make us knock at our own
 * databases, at a cloud's metadata service, or at the neighbour's router.
 */
import { BlockList, isIP } from "node:net"

const special = new BlockList()
for (const [net, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const)
  special.addSubnet(net, bits, "ipv4")

const global6 = new BlockList()
global6.addSubnet("2000::", 3, "ipv6")

/** Within 2000::/3, what isn't one's own address or hides an IPv4 address inside. */
const special6 = new BlockList()
for (const [net, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["2620:4f:8000::", 48],
  ["3fff::", 20],
] as const)
  special6.addSubnet(net, bits, "ipv6")

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

export const isLoopback = (address: string): boolean => {
  const family = isIP(address)
  return family !== 0 && loopback.check(address, family === 4 ? "ipv4" : "ipv6")
}

/** False for whatever is no IP address at all. */
export const isPublic = (address: string): boolean => {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, "ipv4")
    case 6:
      return global6.check(address, "ipv6") && !special6.check(address, "ipv6")
    default:
      return false
  }
}

const MAX_URL = 2_048

/** What is wrong with a URL that shall be called from here; undefined for a good one. Names are resolved at each call. */
export const refusalOf = (text: string, allowLoopback: boolean): string | undefined => {
  if (text.length > MAX_URL || !/^[\x21-\x7e]+$/.test(text) || !URL.canParse(text))
    return "must be an absolute URL"
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") return "must not hold a name or a password"
  if (url.hash !== "") return "must not have a fragment"
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1")
  const ours = host === "localhost" || isLoopback(host)
  if (ours && allowLoopback && (url.protocol === "http:" || url.protocol === "https:")) return undefined
  if (url.protocol !== "https:") return "must be https"
  if (isIP(host) !== 0) return isPublic(host) ? undefined : "must be a public address"
  return host.includes(".") && !/\.(localhost|local|internal|home\.arpa)\.?$/.test(host)
    ? undefined
    : "must be a public address"
}
