import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { inject } from "vitest"
import { rolePassword } from "../../src/layers/Pools.ts"

const Grants = Schema.decodeUnknownSync(Schema.Array(Schema.Tuple([Schema.String, Schema.String])))

/**
 * A database of its own for a test file: a clone of the migrated template, dropped at the end. Give it to a whole file with
 * `layer(PgTest.layer)("…", (it) => …)`.
 */
export class PgTest extends Context.Service<PgTest, {
  /** The owner of the database and of every schema. */
  readonly ownerUrl: Redacted.Redacted<string>
  readonly database: string
  /** The connection string of a bulkhead's login role: `urlFor("wallet")` logs in as `midnight_wallet`. */
  urlFor(role: string): Redacted.Redacted<string>
  /** What a server process needs to find this database. */
  readonly environment: { readonly DATABASE_URL: string; readonly DATABASE_ROLES_SECRET: string }
}>()("midnight/test/PgTest") {
  static readonly layer = Layer.effect(
    PgTest,
    Effect.gen(function*() {
      const { rolesSecret, template, url } = inject("postgres")
      const database = `midnight_test_${randomBytes(6).toString("hex")}`
      const admin = PgConnection.make({ url: Redacted.make(url) })
      const clone = Effect.gen(function*() {
        const connection = yield* admin
        yield* connection.query(`CREATE DATABASE ${database} TEMPLATE ${template} STRATEGY FILE_COPY`, [])
        // CREATE DATABASE does not copy who may connect, which is part of what the migrations say.
        const grants = Grants(
          yield* connection.queryValues(
            `SELECT quote_ident(rolname), privilege_type FROM pg_database, aclexplode(datacl) AS acl
             JOIN pg_roles ON pg_roles.oid = acl.grantee WHERE datname = $1 AND grantee <> datdba`,
            [template]
          )
        )
        yield* connection.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`, [])
        for (const [role, privilege] of grants) {
          yield* connection.query(`GRANT ${privilege} ON DATABASE ${database} TO ${role}`, [])
        }
      }).pipe(Effect.scoped)
      const drop = Effect.gen(function*() {
        const connection = yield* admin
        yield* connection.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`, [])
      }).pipe(Effect.scoped)
      yield* Effect.acquireRelease(clone, () => Effect.ignore(drop))

      const as = (username: string, password: string) => {
        const target = new URL(url)
        target.pathname = `/${database}`
        target.username = username
        target.password = password
        return Redacted.make(target.href)
      }
      const owner = new URL(url)
      const ownerUrl = as(owner.username, owner.password)
      return {
        ownerUrl,
        database,
        urlFor: (role) => as(`midnight_${role}`, Redacted.value(rolePassword(Redacted.make(rolesSecret), role))),
        environment: { DATABASE_URL: Redacted.value(ownerUrl), DATABASE_ROLES_SECRET: rolesSecret }
      }
    })
  )
}
