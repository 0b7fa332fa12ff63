import { BlockList, isIPv4, isIPv6 } from "node:net"

// What IANA's registries of special-purpose addresses keep from being a destination on the public internet.
const private4 = new BlockList()
for (
  const [network, bits] of [
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    // The cloud providers' metadata services answer here.
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
    ["192.88.99.0", 24],
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["224.0.0.0", 3]
  ] as const
) private4.addSubnet(network, bits, "ipv4")
// A public host at a cloud provider, with a private service.
private4.addAddress("168.63.129.16", "ipv4")

// Of IPv6 only this block is given to networks at large; in it, the tunnels that carry an IPv4 address inside, and examples.
const global6 = new BlockList()
global6.addSubnet("2000::", 3, "ipv6")
const private6 = new BlockList()
for (const [network, bits] of [["2001::", 23], ["2001:db8::", 32], ["2002::", 16], ["3fff::", 20]] as const) {
  private6.addSubnet(network, bits, "ipv6")
}

/** The IPv4 address inside one of NAT64's well-known prefix, which networks without IPv4 reach it by. */
const embedded4 = (address: string): string | undefined => {
  const match = /^64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(
    new URL(`http://[${address}]`).hostname.slice(1, -1)
  )
  if (match === null) return undefined
  const bytes = [match[1] ?? "0", match[2] ?? "0"].flatMap((part) => {
    const value = Number.parseInt(part, 16)
    return [value >> 8, value & 255]
  })
  return bytes.join(".")
}

/** Whether an address is one that anybody on the internet may be sent to. What is no address is none. */
export const isPublicAddress = (address: string): boolean => {
  if (isIPv4(address)) return !private4.check(address, "ipv4")
  // One with a zone belongs to a link, and no URL can name it.
  if (!isIPv6(address) || address.includes("%")) return false
  const inside = embedded4(address)
  if (inside !== undefined) return isPublicAddress(inside)
  return global6.check(address, "ipv6") && !private6.check(address, "ipv6")
}

/** The address that a URL names itself, in whatever spelling: URL has made a dotted one of `0x7f.1` and `2130706433`. */
export const literalOf = ({ hostname }: URL): string | undefined => {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname
  return isIPv4(bare) || isIPv6(bare) ? bare : undefined
}

const isLocalName = (name: string) => /(^|\.)(localhost|local|internal|home\.arpa|localdomain)\.?$/i.test(name)

/** What can be said of a URL before its name is resolved. Undefined: nothing against it. */
export const refusalOf = (url: URL, allowPrivate: boolean): string | undefined => {
  if (allowPrivate) return undefined
  if (url.protocol !== "https:") return "Only https is spoken here."
  const literal = literalOf(url)
  if (literal !== undefined) return isPublicAddress(literal) ? undefined : "That address is not a public one."
  return isLocalName(url.hostname) ? "That name is not a public one." : undefined
}
