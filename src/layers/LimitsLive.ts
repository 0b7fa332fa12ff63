import { Config, Effect, Layer, Option, Result, Schema } from "effect"
import { IpNetwork, NetAddress } from "effect/net"
import { ClientAddress } from "../http/middleware/ClientAddress.ts"
import { Limits } from "../http/middleware/Limits.ts"
import { figuresLive } from "./LimitFigures.ts"
import { boundedMemoryStore } from "./RateLimiterMemory.ts"
import { redisStore } from "./RateLimiterRedis.ts"

const loopback = ["127.0.0.0/8", "::1/128"]

const parse = (entry: string): IpNetwork.IpNetwork | undefined => {
  const network = IpNetwork.fromString(entry)
  if (Result.isSuccess(network)) return network.success
  const address = NetAddress.ipFromString(entry)
  return Result.isSuccess(address)
    ? IpNetwork.fromAddressUnsafe(address.success, NetAddress.width(address.success))
    : undefined
}

const ProxyEntry = Schema.String.check(
  Schema.makeFilter((text: string) =>
    text === "loopback" || parse(text) !== undefined || "an IP address, a network such as 10.0.0.0/8, or \"loopback\""
  )
)

/** The proxies that may say whom they speak for: addresses, networks in CIDR notation, or `loopback`. Default: none. */
const trustedProxies = Config.Array(ProxyEntry, "TRUSTED_PROXIES").pipe(
  Config.withDefault([]),
  Config.map((entries) =>
    entries.flatMap((entry) => entry === "loopback" ? loopback : [entry])
      .flatMap((entry) => parse(entry) ?? [])
  )
)

/** Counters in Redis where REDIS_URL is set, for several API processes; else in memory, for one. */
const store = Layer.unwrap(
  Effect.map(
    Config.option(Config.Redacted("REDIS_URL")),
    Option.match({
      onNone: () => boundedMemoryStore,
      onSome: redisStore
    })
  )
)

/** What the rate limit and authorization middlewares stand on. */
export const LimitsLive = Layer.merge(
  Limits.layer.pipe(Layer.provide([store, figuresLive])),
  Layer.unwrap(Effect.map(trustedProxies, ClientAddress.layer))
)
