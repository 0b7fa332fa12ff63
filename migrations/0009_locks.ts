import { statements } from "./statements.ts"

/**
 * Advisory locks belong to nobody: any role could take the one that postings follow one another by, and no money would move
 * for as long as it liked. PUBLIC loses them in this database, and whoever needs one is given that one function. Where
 * the migrating owner does not own the system's functions, PostgreSQL warns and leaves all as it was.
 */
const functions = [
  "pg_advisory_lock",
  "pg_advisory_lock_shared",
  "pg_advisory_xact_lock",
  "pg_advisory_xact_lock_shared",
  "pg_try_advisory_lock",
  "pg_try_advisory_lock_shared",
  "pg_try_advisory_xact_lock",
  "pg_try_advisory_xact_lock_shared"
]

export const locks = statements([
  ...functions.flatMap((name) => ["bigint", "integer, integer"].map((of) => `${name}(${of})`))
    .map((f) => `REVOKE EXECUTE ON FUNCTION pg_catalog.${f} FROM PUBLIC`),
  `GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint), pg_catalog.pg_try_advisory_xact_lock(bigint)
     TO midnight_ledger`,
  // Takers of one campaign's slots, and of one member's uploads, follow one another.
  `GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint) TO midnight_rewards, midnight_video_api`,
  // Whoever keeps files in the database could fill its disk, and nothing here does.
  `REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
     pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC`
])
