import { createHash, createPublicKey } from "node:crypto"
import { jwtVerify } from "jose"

// What both peers share because it is the same in either framework: tokens, the shape of a request, problems.

const key = createPublicKey(process.env["JWT_PUBLIC_KEY"])
const options = { algorithms: ["EdDSA"], typ: "at+jwt", issuer: "midnight", audience: "midnight", clockTolerance: 30 }

/** The user of a bearer token, or undefined. */
export const userOf = async (authorization) => {
  if (authorization === undefined || !authorization.startsWith("Bearer ")) return undefined
  try {
    const { payload } = await jwtVerify(authorization.slice(7), key, options)
    return payload.sub
  } catch {
    return undefined
  }
}

export const hashOf = ({ amount, currency, memo, toUserId }) =>
  createHash("sha256").update(JSON.stringify([toUserId, amount, currency, memo ?? null])).digest()

export const transferOf = (row, fromUserId, { amount, currency, memo, toUserId }) => ({
  id: row.id,
  kind: "transfer",
  amount,
  currency,
  fromUserId,
  toUserId,
  memo: memo ?? null,
  createdAt: row.created_at
})

export const storedOf = (row) => ({
  id: row.id,
  kind: "transfer",
  amount: Number(row.amount),
  currency: row.currency,
  fromUserId: row.user_id,
  toUserId: row.to_user_id,
  memo: row.memo,
  createdAt: row.created_at
})

export const findByKey = {
  name: "find-by-key",
  text: "SELECT * FROM transfers WHERE user_id = $1 AND key = $2"
}

export const listWallets = {
  name: "list-wallets",
  text: "SELECT id, currency::text, balance, held FROM accounts WHERE owner = $1 ORDER BY currency"
}

export const walletsOf = (rows) => ({
  wallets: rows.map((row) => {
    const balance = Number(row.balance)
    const held = Number(row.held)
    return { id: row.id, currency: row.currency, balance, held, available: balance - held }
  })
})
