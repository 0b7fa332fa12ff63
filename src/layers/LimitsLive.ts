import { Config, Effect, Layer, Option, Redacted, Result, Schema } from "effect"
import { IpNetwork, NetAddress } from "effect/net"
import { ClientAddress } from "../http/middleware/ClientAddress.ts"
import { Limits } from "../http/middleware/Limits.ts"
import { MostInFlight } from "../http/middleware/RateLimitLive.ts"
import { duration, integer } from "./Bounded.ts"
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

/** What the client would refuse only once it is made, long after the start. What was given is not said: it holds a password. */
const RedisUrl = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    return (url !== undefined && /^rediss?:$/.test(url.protocol) && url.hostname !== "" &&
      /^\/?\d*$/.test(url.pathname))
      || "a URL such as redis://127.0.0.1:6379 or rediss://user:password@redis.example.org:6380/0"
  })
)

/** Counters in Redis where REDIS_URL is set, for several API processes; else in memory, for one. */
const store = Layer.unwrap(
  Effect.gen(function*() {
    const url = yield* Config.option(Config.map(Config.schema(RedisUrl, "REDIS_URL"), Redacted.make))
    // What a request waits for the store at most, before its policy says what becomes of it uncounted.
    const longest = yield* duration("REDIS_CALL_LIMIT", "50 millis", { from: "5 millis", to: "1 second" })
    return Option.match(url, { onNone: () => boundedMemoryStore, onSome: (url) => redisStore(url, longest) })
  })
)

/** What the rate limit and authorization middlewares stand on. */
export const LimitsLive = Layer.mergeAll(
  Limits.layer.pipe(Layer.provide([store, figuresLive])),
  Layer.unwrap(Effect.map(trustedProxies, ClientAddress.layer)),
  Layer.effect(MostInFlight, integer("LIMIT_IN_FLIGHT", 64, { from: 1, to: 10_000 }))
)
