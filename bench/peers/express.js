// oxlint-disable no-async-endpoint-handlers -- Express 5 awaits its handlers and hands a rejection to the error handler.
import express from "express"
import { Pool } from "pg"
import { findByKey, hashOf, listWallets, storedOf, transferOf, userOf, walletsOf } from "./contract.js"

// Express 5 + pg: a transaction per request, as its documentation and most code bases do it. Every statement is prepared.
const pool = new Pool({ connectionString: process.env["DATABASE_URL"], max: Number(process.env["POOL_SIZE"]) })

const statements = {
  insert: {
    name: "insert-transfer",
    text: `INSERT INTO transfers (user_id, key, request_hash, to_user_id, amount, currency, memo)
      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, key) DO NOTHING RETURNING id, created_at`
  },
  move: {
    name: "move",
    text: "UPDATE accounts SET balance = balance + $2 WHERE owner = $1 AND currency = $3 AND balance + $2 >= held "
      + "RETURNING id, balance"
  },
  entries: {
    name: "insert-entries",
    text: `INSERT INTO entries (transfer_id, account_id, amount, balance_after)
      VALUES ($1, $2, $3, $4), ($1, $5, $6, $7)`
  }
}

class Refused extends Error {
  constructor(status, title) {
    super(title)
    this.status = status
  }
}

const transfer = async (userId, key, request) => {
  const { amount, currency, memo, toUserId } = request
  const hash = hashOf(request)
  const client = await pool.connect()
  try {
    await client.query("BEGIN")
    const inserted = await client.query({
      ...statements.insert,
      values: [userId, key, hash, toUserId, amount, currency, memo ?? null]
    })
    const row = inserted.rows[0]
    if (row === undefined) {
      const { rows: [stored] } = await client.query({ ...findByKey, values: [userId, key] })
      await client.query("COMMIT")
      if (stored === undefined || !hash.equals(stored.request_hash)) throw new Refused(422, "The key was used before")
      return { replayed: true, body: storedOf(stored) }
    }
    // The lower id first, so that two transfers between the same people cannot lock each other out.
    const legs = [{ owner: userId, amount: -amount }, { owner: toUserId, amount }]
    if (toUserId < userId) legs.reverse()
    const values = [row.id]
    for (const leg of legs) {
      const moved = await client.query({ ...statements.move, values: [leg.owner, leg.amount, currency] })
      const account = moved.rows[0]
      if (account === undefined) {
        throw leg.amount < 0 ? new Refused(422, "Insufficient funds") : new Refused(404, "No such recipient")
      }
      values.push(account.id, leg.amount, account.balance)
    }
    await client.query({ ...statements.entries, values })
    await client.query("COMMIT")
    return { replayed: false, body: transferOf(row, userId, request) }
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {})
    throw error
  } finally {
    client.release()
  }
}

const app = express()
app.disable("x-powered-by")
app.disable("etag")
app.use(express.json({ limit: "64kb" }))

app.use(async (request, response, next) => {
  const userId = await userOf(request.headers.authorization)
  if (userId === undefined) return response.status(401).json({ title: "Unauthorized", status: 401 })
  request.userId = userId
  next()
})

app.get("/api/wallet", async (request, response) => {
  const { rows } = await pool.query({ ...listWallets, values: [request.userId] })
  response.json(walletsOf(rows))
})

app.post("/api/wallet/transfers", async (request, response) => {
  const key = request.headers["idempotency-key"]
  const { amount, currency, toUserId } = request.body ?? {}
  if (
    key === undefined || !Number.isSafeInteger(amount) || amount < 1 || typeof currency !== "string"
    || typeof toUserId !== "string" || toUserId === request.userId
  ) {
    throw new Refused(400, "The request is not valid")
  }
  const { body, replayed } = await transfer(request.userId, key, request.body)
  if (replayed) response.set("idempotency-replayed", "true")
  response.status(201).json(body)
})

// Express knows an error handler by its four parameters.
app.use((error, _request, response, _next) => {
  const status = error.status ?? 500
  if (status === 500) process.stderr.write(`${error.stack}\n`)
  response.status(status).type("application/problem+json").json({ title: error.message, status })
})

const server = app.listen(Number(process.env["PORT"]), "127.0.0.1", 8192)
server.keepAliveTimeout = 65_000
