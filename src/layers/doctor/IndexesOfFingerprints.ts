import type { Expected } from "./Indexes.ts"

/** Those of the look-up of videos seen before (see Indexes.ts). */
export const fingerprintIndexes: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  "video.fingerprint_keys": {
    fingerprint_keys_pkey: {
      definition: `unique btree (key, "position")`,
      queries: ["FingerprintStore.candidates"],
      rule: undefined
    }
  },
  "video.fingerprint_order": {
    fingerprint_order_pkey: { definition: "unique btree (one)", queries: [], rule: "there is one order of all" }
  },
  "video.fingerprints": {
    fingerprints_pkey: {
      definition: "unique btree (submission_id)",
      queries: ["FingerprintStore.remember"],
      rule: undefined
    },
    fingerprints_position_key: {
      definition: `unique btree ("position")`,
      queries: ["FingerprintStore.sameFile", "FingerprintStore.candidates"],
      rule: undefined
    },
    fingerprints_sha256: {
      definition: `btree (sha256, "position")`,
      queries: ["FingerprintStore.sameFile"],
      rule: undefined
    }
  },
  "video.matches": {
    matches_pkey: { definition: `unique btree ("position")`, queries: ["FingerprintStore.keep"], rule: undefined }
  }
}
