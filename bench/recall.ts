import { ConfigProvider, Effect, Redacted } from "effect"
import { AV_LOG_FATAL } from "node-av/constants"
import { Log } from "node-av/lib"
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { fingerprintOf, indexKeys } from "../src/domain/SeenBefore.ts"
import { migrate, setRolePasswords } from "../src/layers/Migrations.ts"
import { ownerPool } from "../src/layers/Pools.ts"
import { SeenBefore } from "../src/services/SeenBefore.ts"
import { edit, editsOf } from "../test/layers/edits.ts"
import { fingerprintOfFile, Library, submitted } from "../test/layers/Library.ts"
import { film, randoms, type Scene, variedScene } from "../test/layers/scenes.ts"
import { createDatabase, query, startPostgres } from "./database.ts"
import { describeMachine } from "./machine.ts"

const usage = `npm run recall -- [options]

Films clips, edits them, has the real decoder fingerprint them and the real PostgreSQL look them up; prints what was found.

  --clips N   distinct clips (150)
  --edited N  clips of which each edit is made (40)
  --keep DIR  where the clips are, or go, to film them only once
`
const { values } = parseArgs({
  options: {
    clips: { type: "string", default: "150" },
    edited: { type: "string", default: "40" },
    keep: { type: "string" },
    help: { type: "boolean", default: false }
  }
})
const print = (text: string) => process.stdout.write(`${text}\n`)
if (values.help) {
  print(usage)
  process.exit(0)
}
const clips = Number(values.clips)
const edited = Math.min(clips, Number(values.edited))
const folder = mkdtempSync(join(tmpdir(), "midnight-recall-"))
const films = values.keep === undefined ? folder : resolve(values.keep)
mkdirSync(films, { recursive: true })

const scenes = Array.from({ length: clips }, (_, seed) => variedScene(seed))
const pathOf = (name: string | number) => join(films, `${String(name).replaceAll(/\W+/g, "_")}.mp4`)
const filmed = async (scene: Scene, name: string | number): Promise<Uint8Array> => {
  if (!existsSync(pathOf(name))) await film(scene, pathOf(name))
  return fingerprintOfFile(pathOf(name))
}

const member = () => crypto.randomUUID()

/** Looks a fingerprint up as the submission of somebody new, and says by how sure a match, if any. */
const look = Effect.fnUntraced(function*(frames: Uint8Array, file: string) {
  const { lookUp } = yield* SeenBefore
  const id = yield* submitted({ userId: member(), campaignId: member(), file })
  const sighting = yield* lookUp(id, frames)
  return { id, found: sighting._tag === "SamePictures" ? (sighting.sure ? "sure" : "unsure") : "nothing" }
})

interface Tally {
  readonly sure: number
  readonly unsure: number
  readonly nothing: number
  readonly wrong: number
}
const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`
const row = (name: string, { nothing, sure, unsure, wrong }: Tally) => {
  const all = sure + unsure + nothing
  print(`| ${name} | ${all} | ${percent(sure, all)} | ${percent(unsure, all)} | ${wrong} |`)
}

const run = (url: string, secret: string) =>
  Effect.gen(function*() {
    // All clips stand in the library before any edit is looked up, so each look-up is one pair with every clip.
    const originals = new Map<number, string>()
    const library: Array<Uint8Array> = []
    let falsely = 0
    for (const [number, scene] of scenes.entries()) {
      const frames = yield* Effect.promise(() => filmed(scene, number))
      const { found, id } = yield* look(frames, `clip ${number}`)
      if (found !== "nothing") {
        falsely++
        print(`clip ${number} was taken for an earlier one (${found})`)
      }
      originals.set(number, id)
      library.push(frames)
    }
    print(`\n${clips} distinct clips, ${(clips * (clips - 1)) / 2} pairs: ${falsely} taken for another\n`)
    print("| edit | look-ups | found, sure | left to a person | wrong clip |\n|---|---|---|---|---|")
    const probes: Array<Uint8Array> = []
    for (const name of Object.keys(editsOf(0))) {
      const tally = { sure: 0, unsure: 0, nothing: 0, wrong: 0 }
      for (const [number, scene] of scenes.slice(0, edited).entries()) {
        const { [name]: how } = Object.fromEntries(Object.entries(editsOf(scene.seconds)))
        if (how === undefined) continue
        const target = pathOf(`${number} ${name}`)
        if (!existsSync(target)) yield* Effect.promise(() => edit(pathOf(number), target, how))
        const frames = yield* Effect.promise(() => fingerprintOfFile(target))
        if (number % 10 === 0) probes.push(frames)
        const { found, id } = yield* look(frames, `${number} ${name}`)
        tally[found === "sure" ? "sure" : found === "unsure" ? "unsure" : "nothing"]++
        if (yield* Effect.promise(() => namedAnother(url, id, originals.get(number)))) tally.wrong++
        yield* Effect.promise(() => takeOut(url, id))
      }
      row(name, tally)
    }
    yield* similar
    yield* cost(url, library, probes)
  }).pipe(
    Effect.provide(Library),
    Effect.provide(
      ConfigProvider.layer(ConfigProvider.fromUnknown({ DATABASE_URL: url, DATABASE_ROLES_SECRET: secret }))
    )
  )

/** Whether the look-up named another clip than this. The edit is taken out of the library: only originals are looked for. */
const namedAnother = async (url: string, id: string, original: string | undefined): Promise<boolean> => {
  const [row] = await query(
    url,
    `SELECT e.submission_id FROM video.fingerprints p JOIN video.matches m ON m.position = p.position
       JOIN video.fingerprints e ON e.position = m.earlier WHERE p.submission_id = $1`,
    [id]
  )
  return row !== undefined && row[0] !== original
}
const takeOut = (url: string, id: string) =>
  query(
    url,
    `DELETE FROM video.fingerprint_keys USING video.fingerprints p
      WHERE p.position = fingerprint_keys.position AND p.submission_id = $1`,
    [id]
  )

/** Clips made to be alike: new ones, that share all but one thing with a clip of the library. */
const similar = Effect.gen(function*() {
  print("\n| alike on purpose | look-ups | found, sure | left to a person | nothing |\n|---|---|---|---|---|")
  const kinds: ReadonlyArray<readonly [string, (scene: Scene) => Scene]> = [
    ["the same recording with other words over it", (scene) => ({ ...scene, text: "QZXVJYKWQP" })],
    ["the same place and camera, other things moving", (scene) => ({ ...scene, things: scene.things + 1 })],
    [
      "the same place, a camera that stands still, nothing moves",
      (scene) => ({ ...scene, pan: 0, things: 0, shots: 1 })
    ]
  ]
  for (const [name, change] of kinds) {
    const tally = { sure: 0, unsure: 0, nothing: 0 }
    for (const number of Array.from({ length: Math.min(10, edited) }, (_, at) => at)) {
      const scene = scenes[number]
      if (scene === undefined) continue
      const frames = yield* Effect.promise(() => filmed(change(scene), `alike ${number} ${name}`))
      const { found } = yield* look(frames, `alike ${number} ${name}`)
      tally[found === "sure" ? "sure" : found === "unsure" ? "unsure" : "nothing"]++
    }
    print(`| ${name} | ${Math.min(10, edited)} | ${tally.sure} | ${tally.unsure} | ${tally.nothing} |`)
  }
})

/** A fingerprint that moves in time as a real one does: a real one, with a quarter of its bits turned in all pictures. */
const madeUp = (real: Uint8Array, random: () => number): Uint8Array => {
  const mask = Uint8Array.from({ length: 16 }, () => {
    let byte = 0
    for (let bit = 0; bit < 8; bit++) if (random() < 0.25) byte |= 1 << bit
    return byte
  })
  return real.map((byte, at) => byte ^ (mask[at % 16] ?? 0))
}

const fill = async (url: string, library: ReadonlyArray<Uint8Array>, from: number, to: number) => {
  for (let start = from; start < to; start += 250) {
    const made = Array.from({ length: Math.min(250, to - start) }, (_, at) => {
      const frames = madeUp(library[(start + at) % library.length] ?? new Uint8Array(16), randoms(start + at))
      return {
        id: crypto.randomUUID(),
        frames: Buffer.from(frames).toString("hex"),
        keys: indexKeys(fingerprintOf(frames))
      }
    })
    const ids = made.map(({ id }) => id)
    await query(
      url,
      `INSERT INTO video.uploads (id, user_id, bytes, content_type, sha256, status, expires_at, completed_at)
       SELECT id, gen_random_uuid(), 1, 'video/mp4', encode(sha256(id::text::bytea), 'hex'), 'complete', now(), now()
       FROM unnest($1::uuid[]) AS made(id)`,
      [ids]
    )
    await query(
      url,
      `INSERT INTO video.submissions (id, user_id, video_id, status, rules, request_id)
       SELECT id, gen_random_uuid(), id, 'verifying', '{}', 'bench' FROM unnest($1::uuid[]) AS made(id)`,
      [ids]
    )
    await query(
      url,
      `INSERT INTO video.fingerprints (submission_id, frames)
       SELECT id, decode(frames, 'hex') FROM unnest($1::uuid[], $2::text[]) AS made(id, frames)`,
      [ids, made.map(({ frames }) => frames)]
    )
    await query(
      url,
      `INSERT INTO video.fingerprint_keys (key, position)
       SELECT key, position FROM unnest($1::uuid[], $2::int[]) AS made(id, key)
       JOIN video.fingerprints ON submission_id = id`,
      [made.flatMap(({ id, keys }) => keys.map(() => id)), made.flatMap(({ keys }) => keys)]
    )
  }
  for (const table of ["fingerprints", "fingerprint_keys", "submissions", "uploads"]) {
    await query(url, `VACUUM ANALYZE video.${table}`)
  }
}

/** The look-up of the same videos among a thousand clips and among ten thousand, as PostgreSQL itself accounts for it. */
const cost = (url: string, library: ReadonlyArray<Uint8Array>, probes: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function*() {
    print(
      "\n| clips | keys | index | look-up, ms | pages | compared in Node too, ms of CPU |\n|---|---|---|---|---|---|"
    )
    const count = Effect.promise(() => query(url, "SELECT count(DISTINCT position)::int FROM video.fingerprint_keys"))
    yield* Effect.promise(() => query(url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))
    for (const size of [1_000, 10_000]) {
      const [[now] = []] = yield* count
      yield* Effect.promise(() => fill(url, library, Number(now), size))
      yield* Effect.forEach(probes.slice(0, 5), (frames, at) => look(frames, `warm ${size} ${at}`))
      yield* Effect.promise(() => query(url, "SELECT pg_stat_statements_reset()"))
      const before = process.cpuUsage()
      yield* Effect.forEach(probes, (frames, at) => look(frames, `probe ${size} ${at}`))
      const { system, user } = process.cpuUsage(before)
      const [[ms, pages] = []] = yield* Effect.promise(() =>
        query(
          url,
          `SELECT sum(total_exec_time) / sum(calls), sum(shared_blks_hit + shared_blks_read)::float8 / sum(calls)
           FROM pg_stat_statements WHERE query LIKE '%AS asked(key)%' AND query NOT LIKE '%pg_stat%'`
        )
      )
      const [[keys, bytes] = []] = yield* Effect.promise(() =>
        query(
          url,
          "SELECT count(*)::int, pg_relation_size('video.fingerprint_keys_pkey')::int FROM video.fingerprint_keys"
        )
      )
      const node = (user + system) / 1_000 / probes.length
      print(
        `| ${size} | ${String(keys)} | ${(Number(bytes) / 2 ** 20).toFixed(0)} MiB | ${Number(ms).toFixed(1)} | ${
          Number(pages).toFixed(0)
        } | ${node.toFixed(1)} |`
      )
    }
  })

Log.setLevel(AV_LOG_FATAL)
const postgres = await startPostgres(folder)
try {
  const secret = "a secret for the roles of the bench's databases"
  const url = await createDatabase(postgres, "recall")
  const prepared = Effect.andThen(migrate, setRolePasswords(Redacted.make(secret))).pipe(
    Effect.provide(ownerPool("midnight-recall")),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ DATABASE_URL: url })))
  )
  await Effect.runPromise(prepared)
  const machine = describeMachine()
  print(`${JSON.stringify(machine)}\n${new Date().toISOString().slice(0, 10)}\n`)
  await Effect.runPromise(run(url, secret))
  const { system, user } = process.cpuUsage()
  print(`\n${((user + system) / 1e6).toFixed(0)} s of processor time in this process`)
} finally {
  await postgres.stop()
  rmSync(folder, { recursive: true, force: true })
}
