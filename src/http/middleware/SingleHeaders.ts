import type { HttpServerRequest } from "effect/http"
import { IncomingMessage } from "node:http"
import { InvalidRequest } from "../../domain/Problem.ts"

const single = ["host", "authorization", "content-type"]
const lengths = new Set(single.map(({ length }) => length))

/**
 * Headers that decide who asks for what, given twice. Node keeps the first of them; a proxy in front may have judged the
 * last, and let pass what it would have refused. An Idempotency-Key given twice arrives as one that is no key.
 */
export const repeated = ({ source }: HttpServerRequest.HttpServerRequest): InvalidRequest | undefined => {
  if (!(source instanceof IncomingMessage)) return undefined
  const { rawHeaders } = source
  let seen = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ""
    // Most names have another length, and so cost nothing more than this comparison.
    if (!lengths.has(name.length)) continue
    const place = single.indexOf(name.toLowerCase())
    if (place === -1) continue
    if ((seen & (1 << place)) !== 0) {
      return new InvalidRequest({ errors: [{ pointer: `/headers/${single[place]}`, detail: "Send this once" }] })
    }
    seen |= 1 << place
  }
  return undefined
}
