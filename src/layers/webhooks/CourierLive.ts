import { Effect, Layer } from "effect"
import * as http from "node:http"
import * as https from "node:https"
import { isIPv6, type LookupFunction } from "node:net"
import type { DeliveryOutcome } from "../../domain/WebhookDeliveries.ts"
import { isPublicAddress, literalOf, refusalOf } from "../../services/WebhookAddresses.ts"
import { WebhookCourier, WebhookSettings } from "../../services/WebhookCourier.ts"
import { HostNames } from "./HostNames.ts"

/** All of an attempt: the name, the connection, the answer. */
const limit = "10 seconds"
/** An acknowledgement is its status; so much of what follows is read that the connection ends in peace. */
const mostBytes = 16 * 1024

const failed = (failure: string): DeliveryOutcome => ({ status: null, failure })

/**
 * A connection goes to one of these addresses, whatever the name leads to by now: they were judged, and nobody asks again.
 * The name stays what the certificate is held against and what the receiver reads as Host.
 */
const only = (addresses: ReadonlyArray<string>): LookupFunction => {
  const list = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
  return (_host, options, callback) => {
    const [first] = list
    if (first === undefined) callback(new Error("no address"), "", 4)
    else if (options.all === true) callback(null, list)
    else callback(null, first.address, first.family)
  }
}

const request = (
  url: URL,
  addresses: ReadonlyArray<string>,
  headers: Readonly<Record<string, string>>,
  body: string
): Effect.Effect<DeliveryOutcome> =>
  Effect.callback<DeliveryOutcome>((resume) => {
    const { request } = url.protocol === "https:" ? https : http
    const end = (outcome: DeliveryOutcome) => {
      resume(Effect.succeed(outcome))
      sent.destroy()
    }
    // Neither client follows a redirect, nor a proxy of the environment with an agent of its own.
    const sent = request(url, {
      method: "POST",
      agent: false,
      lookup: only(addresses),
      maxHeaderSize: mostBytes,
      headers: {
        ...headers,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "user-agent": "Midnight-Webhooks/1"
      }
    })
    sent.on("response", (answer) => {
      const outcome = { status: answer.statusCode ?? null, failure: null }
      let read = 0
      answer.on("data", (chunk: Buffer) => {
        read += chunk.length
        if (read > mostBytes) end(outcome)
      })
      answer.on("end", () => end(outcome))
      answer.on("error", () => end(failed("the connection ended within the answer")))
    })
    sent.on("error", (error) => end(failed(reasonOf(error))))
    sent.end(body)
    return Effect.sync(() => sent.destroy())
  })

// Codes, never messages: these have addresses in them, and the log is the endpoint's owner's to read.
const reasonOf = (error: Error): string => {
  const code = "code" in error && typeof error.code === "string" ? error.code : ""
  if (/^(ERR_TLS|CERT|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|EPROTO|ERR_SSL)/.test(code)) {
    return `no trusted connection: ${code}`
  }
  return code === "" ? "the connection failed" : `the connection failed: ${code}`
}

/** Sends over the network. A name is resolved once for each attempt, and one bad address among several refuses it. */
export const CourierLive = Layer.effect(
  WebhookCourier,
  Effect.gen(function*() {
    const names = yield* HostNames
    const { allowPrivate } = yield* WebhookSettings

    const addressesOf = (url: URL) => {
      const literal = literalOf(url)
      if (literal !== undefined) return Effect.succeed([literal])
      // RFC 6761: it is never asked for.
      return allowPrivate && url.hostname === "localhost" ? Effect.succeed(["127.0.0.1"]) : names.resolve(url.hostname)
    }

    return WebhookCourier.of({
      send: Effect.fn("WebhookCourier.send")(function*({ body, headers, url: text }) {
        const url = new URL(text)
        const refusal = refusalOf(url, allowPrivate)
        if (refusal !== undefined) return failed(refusal)
        const addresses = yield* addressesOf(url)
        if (!allowPrivate && !addresses.every(isPublicAddress)) return failed("the name leads to a private address")
        return yield* request(url, addresses, headers, body)
      }, (effect) =>
        effect.pipe(
          Effect.catchTag("NameNotFound", () => Effect.succeed(failed("the name has no address"))),
          Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(failed("no answer came within 10 s")) })
        ))
    })
  })
)
