import { calculateJwkThumbprint, exportJWK, SignJWT } from "jose"
import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto"

/** Everybody who could pay; a load uses the first so many of them. */
export const memberCount = 10_000

export const memberId = (n: number) => `018f0000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`

/** The statement that seeds them as users of ours. Nobody can log in: the hash is that of no password. */
export const seedUsers = `INSERT INTO identity.users (id, email, password_hash, created_at, updated_at)
  SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'member' || n || '@example.com',
         '$argon2id$none', now(), now()
    FROM generate_series(0, ${memberCount - 1}) n`

/** The statement that gives 500 of them, from the $1-th on, money to spend: postings like any other. */
export const seedMoney = `SELECT wallet.post(jsonb_agg(jsonb_build_object(
    'op', 'transfer', 'key', 'bench:opening:' || n, 'kind', 'charge', 'legs', jsonb_build_array(
      jsonb_build_object('kind', 'clearing', 'owner', 'bench', 'currency', 'NGN', 'amount', '-1000000000'),
      jsonb_build_object('kind', 'wallet', 'owner', '018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'),
                         'currency', 'NGN', 'amount', '1000000000')))))::text
    FROM generate_series($1::int, $1::int + 499) n`

export interface Keys {
  readonly privatePem: string
  readonly publicPem: string
  readonly sign: (member: number) => Promise<string>
}

/** The key that the server signs with, and access tokens as it would issue them: what the peers verify, too. */
export const makeKeys = async (): Promise<Keys> => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const publicKey: KeyObject = createPublicKey(privateKey)
  const kid = await calculateJwkThumbprint(await exportJWK(publicKey))
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    sign: (member) => {
      const now = Math.floor(Date.now() / 1_000)
      return new SignJWT({ sid: memberId(member), roles: ["member"] })
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid })
        .setSubject(memberId(member)).setIssuer("midnight").setAudience("midnight").setJti(randomUUID())
        .setIssuedAt(now).setNotBefore(now).setExpirationTime(now + 600)
        .sign(privateKey)
    }
  }
}

const address = (member: number) => `10.${member >> 16}.${(member >> 8) & 255}.${member & 255}`

let latest: { readonly heads: ReadonlyArray<string>; readonly keys: Keys; readonly since: number } | undefined

/**
 * What every request of a member carries: its token, and the address that a proxy would vouch for. The same for five of the
 * ten minutes that a token lives, as a signed-in client would.
 */
export const makeHeads = async (keys: Keys, members: number): Promise<ReadonlyArray<string>> => {
  if (
    latest !== undefined && latest.keys === keys && latest.heads.length === members
    && performance.now() - latest.since < 300_000
  ) return latest.heads
  const tokens: Array<string> = []
  for (let from = 0; from < members; from += 256) {
    const some = Array.from({ length: Math.min(256, members - from) }, (_, i) => keys.sign(from + i))
    tokens.push(...await Promise.all(some))
  }
  const heads = tokens.map((token, member) =>
    `Host: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nX-Forwarded-For: ${address(member)}\r\n`
  )
  latest = { heads, keys, since: performance.now() }
  return heads
}

/** The account that everybody pays into, in the middle of the others so that no side profits from the order of locks. */
export const hotMember = 1_024

const below = (n: number) => Math.floor(Math.random() * n)
const run = randomUUID()
let sequence = 0

/** A transfer of a member to somebody else, or all to one account, as the text of an HTTP request with a key of its own. */
export const transfer = (heads: ReadonlyArray<string>, sender: number, hot: boolean): string => {
  const from = hot && sender === hotMember ? sender + 1 : sender
  const other = below(heads.length - 1)
  const to = hot ? hotMember : other >= from ? other + 1 : other
  const body = `{"toUserId":"${memberId(to)}","amount":${1 + below(100)},"currency":"NGN"}`
  return `POST /api/wallet/transfers HTTP/1.1\r\n${heads[from]}Idempotency-Key: "${run}-${sequence++}"\r\n`
    + `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

export const wallet = (heads: ReadonlyArray<string>, member: number): string =>
  `GET /api/wallet HTTP/1.1\r\n${heads[member]}\r\n`
