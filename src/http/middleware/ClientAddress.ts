import { Context, Layer, Option, Result } from "effect"
import type { HttpServerRequest } from "effect/http"
import { IpNetwork, NetAddress } from "effect/net"

/**
 * Where a request comes from, in the form that limits count by: an IPv4 address, or the /64 network of an IPv6 one, since
 * whoever has one IPv6 address has that whole network. `X-Forwarded-For` counts only as far as trusted proxies wrote it:
 * from the right, up to the first address that is not one of theirs.
 */
export class ClientAddress extends Context.Service<ClientAddress, {
  of(request: HttpServerRequest.HttpServerRequest): string
}>()("midnight/http/ClientAddress") {
  static readonly layer = (trusted: ReadonlyArray<IpNetwork.IpNetwork>) =>
    Layer.succeed(ClientAddress)({
      of: (request) => {
        const peer = Option.getOrElse(request.remoteAddress, () => "")
        return limitKey(forwardedFor(trusted, peer, request.headers["x-forwarded-for"]), peer)
      }
    })
}

/** Bare, in brackets, or with a port, as proxies variously write it. IPv4-mapped IPv6 counts as IPv4. */
const parse = (text: string): NetAddress.IpAddress | undefined => {
  const bare = NetAddress.ipFromString(text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text)
  if (Result.isSuccess(bare)) return NetAddress.toCanonical(bare.success)
  const withPort = NetAddress.inetAddressFromString(text)
  return Result.isSuccess(withPort) ? NetAddress.toCanonical(withPort.success.address) : undefined
}

const forwardedFor = (
  trusted: ReadonlyArray<IpNetwork.IpNetwork>,
  peer: string,
  header: string | undefined
): NetAddress.IpAddress | undefined => {
  let client = parse(peer)
  if (header === undefined) return client
  for (const entry of header.split(",").toReversed()) {
    const current = client
    if (current === undefined || !trusted.some((network) => IpNetwork.contains(network, current))) return client
    const next = parse(entry.trim())
    // What is not an address was not written by a proxy of ours; the last one that was known stands.
    if (next === undefined) return client
    client = next
  }
  return client
}

const limitKey = (address: NetAddress.IpAddress | undefined, peer: string): string => {
  if (address === undefined) return peer.slice(0, 64) || "unknown"
  if (NetAddress.isIpv4Address(address)) return NetAddress.formatIp(address)
  return IpNetwork.format(IpNetwork.fromAddressUnsafe(address, 64))
}
