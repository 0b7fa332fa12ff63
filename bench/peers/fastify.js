// oxlint-disable no-async-endpoint-handlers -- Fastify awaits its handlers.
import Fastify from "fastify"
import { Pool } from "pg"
import { findByKey, hashOf, listWallets, storedOf, transferOf, userOf, walletsOf } from "./contract.js"

// Fastify 5 + pg: one prepared statement does the whole transfer, so there is one round trip and no explicit transaction.
const pool = new Pool({ connectionString: process.env["DATABASE_URL"], max: Number(process.env["POOL_SIZE"]) })

// Both wallets change in one UPDATE, found through the index in the order of their ids. What must not happen ends the whole
// statement: a key used before (23505), a balance below zero (23514), a wallet that is not there (23502: no entry for it).
const transfer = {
  name: "transfer",
  text: `WITH t AS (
    INSERT INTO transfers (user_id, key, request_hash, to_user_id, amount, currency, memo)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, created_at
  ), moved AS (
    UPDATE accounts SET balance = balance + CASE WHEN owner = $1 THEN - $5::bigint ELSE $5::bigint END
    WHERE owner IN ($1, $4) AND currency = $6
    RETURNING id, CASE WHEN owner = $1 THEN - $5::bigint ELSE $5::bigint END AS amount, balance
  ), e AS (
    INSERT INTO entries (transfer_id, account_id, amount, balance_after)
    SELECT CASE WHEN (SELECT count(*) FROM moved) = 2 THEN t.id END, moved.id, moved.amount, moved.balance FROM moved, t
  )
  SELECT id, created_at FROM t`
}

const app = Fastify({ bodyLimit: 65_536, keepAliveTimeout: 65_000 })

app.decorateRequest("userId", "")
app.addHook("onRequest", async (request, reply) => {
  const userId = await userOf(request.headers.authorization)
  if (userId === undefined) return reply.code(401).send({ title: "Unauthorized", status: 401 })
  request.userId = userId
})

app.get("/api/wallet", async (request) => {
  const { rows } = await pool.query({ ...listWallets, values: [request.userId] })
  return walletsOf(rows)
})

const schema = {
  headers: {
    type: "object",
    required: ["idempotency-key"],
    properties: { "idempotency-key": { type: "string", minLength: 1, maxLength: 255 } }
  },
  body: {
    type: "object",
    required: ["toUserId", "amount", "currency"],
    additionalProperties: false,
    properties: {
      toUserId: { type: "string", pattern: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" },
      amount: { type: "integer", minimum: 1, maximum: 1_000_000_000_000 },
      currency: { type: "string", pattern: "^[A-Z]{3}$" },
      memo: { type: "string", maxLength: 280 }
    }
  },
  response: {
    201: {
      type: "object",
      properties: {
        id: { type: "string" },
        kind: { type: "string" },
        amount: { type: "integer" },
        currency: { type: "string" },
        fromUserId: { type: "string" },
        toUserId: { type: "string" },
        memo: { type: ["string", "null"] },
        createdAt: { type: "string", format: "date-time" }
      }
    }
  }
}

const post = async (values, attempts) => {
  try {
    return await pool.query({ ...transfer, values })
  } catch (error) {
    // A deadlock is the one failure that a repetition mends.
    if (error.code === "40P01" && attempts > 0) return post(values, attempts - 1)
    throw error
  }
}

app.post("/api/wallet/transfers", { schema }, async (request, reply) => {
  const { body, userId } = request
  const key = request.headers["idempotency-key"]
  const hash = hashOf(body)
  try {
    const { rows } = await post([userId, key, hash, body.toUserId, body.amount, body.currency, body.memo ?? null], 3)
    return reply.code(201).send(transferOf(rows[0], userId, body))
  } catch (error) {
    if (error.code === "23514") return reply.code(422).send({ title: "Insufficient funds", status: 422 })
    if (error.code === "23502") return reply.code(404).send({ title: "No such recipient", status: 404 })
    if (error.code !== "23505") throw error
    const { rows: [stored] } = await pool.query({ ...findByKey, values: [userId, key] })
    if (!hash.equals(stored.request_hash)) {
      return reply.code(422).send({ title: "The key was used before", status: 422 })
    }
    return reply.code(201).header("idempotency-replayed", "true").send(storedOf(stored))
  }
})

await app.listen({ port: Number(process.env["PORT"]), host: "127.0.0.1", backlog: 8192 })
