import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { Device } from "../domain/Identity.ts"
import type { ClientAddress } from "./middleware/ClientAddress.ts"

/** What a request says of where it comes from. The store cuts the name to what it keeps. */
export const deviceOf =
  (address: ClientAddress["Service"]) => (request: HttpServerRequest.HttpServerRequest): Device => ({
    userAgent: Option.fromUndefinedOr(request.headers["user-agent"]),
    address: address.of(request)
  })
