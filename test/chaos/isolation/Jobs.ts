import { Schema } from "effect"
import { randomUUID } from "node:crypto"
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { query } from "../../../bench/database.ts"
import { memberId } from "../../../bench/members.ts"
import { call, type Stage } from "./Stage.ts"

const Ticket = Schema.decodeUnknownSync(Schema.fromJsonString(
  Schema.Struct({ videoId: Schema.String, uploadUrl: Schema.String })
))

/** A whole submission as a member's app makes it: what each step was answered. */
export const submit = async (stage: Stage, member: number, clip: Uint8Array, step: (answer: string) => void) => {
  const headers = { ...await stage.heads(member), "content-type": "application/json" }
  const ask = async (name: string, options: Parameters<typeof call>[0]) => {
    const answer = await call(options).catch(() => undefined)
    step(`${name} ${answer?.status ?? "silent"}`)
    return answer
  }
  const created = await ask("announce", {
    port: stage.ports.api,
    method: "POST",
    path: "/api/video/uploads",
    headers,
    body: JSON.stringify({ bytes: clip.length, contentType: "video/mp4" })
  })
  if (created?.status !== 201) return undefined
  const { uploadUrl, videoId } = Ticket(created.text)
  const { pathname, search } = new URL(uploadUrl)
  const sent = await ask("upload", {
    port: stage.ports.video,
    method: "PUT",
    path: `${pathname}${search}`,
    body: clip
  })
  if (sent?.status !== 200) return undefined
  await ask("verify", {
    port: stage.ports.api,
    method: "POST",
    path: "/api/video/verify",
    headers: { ...headers, "idempotency-key": `"${randomUUID()}"` },
    body: JSON.stringify({ videoId })
  })
  await ask("read", { port: stage.ports.api, method: "GET", path: "/api/video/submissions", headers })
  return videoId
}

/** A finished upload and its waiting submission, as rows to make more of. */
export interface Pattern {
  readonly upload: string
  readonly submission: string
  readonly command: string
  readonly videoId: string
  readonly sha256: string
  readonly submissionId: string
  readonly clip: string
}

const Row = Schema.decodeUnknownSync(Schema.Tuple([
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String
]))

/** Submits one clip over HTTP while nobody verifies, and takes down what came of it. */
export const patternOf = async (stage: Stage, clip: string): Promise<Pattern> => {
  const steps: Array<string> = []
  await stage.video.start({})
  // The process takes the upload, and is gone before the submission comes: its lock of the row would be in the copies.
  const videoId = await submit(stage, memberOfPattern, readFileSync(clip), (answer) => {
    steps.push(answer)
    if (answer === "upload 200") stage.video.kill()
  })
  await stage.video.stop()
  const [row] = await query(
    stage.url,
    `SELECT to_jsonb(u)::text, to_jsonb(s)::text, to_jsonb(q)::text, s.id::text, u.sha256
       FROM video.uploads u JOIN video.submissions s ON s.video_id = u.id
       JOIN queue.verification_commands q ON q.id = s.id::text
      WHERE u.id = $1::text::uuid AND s.status = 'queued'`,
    [videoId]
  )
  if (row === undefined || videoId === undefined) throw new Error(`No submission was left waiting: ${steps.join(", ")}`)
  const [upload, submission, command, submissionId, sha256] = Row(row)
  await clear(stage)
  return { upload, submission, command, videoId, sha256, submissionId, clip }
}

const memberOfPattern = 9_999

/**
 * Puts `count` submissions into the queue in one go, each with a file of its own name; every tenth is poison if asked for.
 * Over HTTP they would take longer to make than to work.
 */
export const enqueue = async (stage: Stage, pattern: Pattern, count: number, poison: boolean): Promise<void> => {
  const videos = join(stage.spool, "videos")
  mkdirSync(videos, { recursive: true })
  const good = join(videos, "good.clip")
  const bad = join(videos, "bad.clip")
  copyFileSync(pattern.clip, good)
  writeFileSync(bad, "POISON, in place of a video")
  const jobs = Array.from({ length: count }, () => ({ video: randomUUID(), submission: randomUUID() }))
  jobs.forEach(({ video }, n) =>
    linkSync(poison && n % 10 === 0 ? bad : good, join(videos, `${video}.${pattern.sha256}`))
  )
  const videoIds = jobs.map(({ video }) => video)
  const submissionIds = jobs.map(({ submission }) => submission)
  await query(
    stage.url,
    `INSERT INTO video.uploads
     SELECT (jsonb_populate_record(NULL::video.uploads, $1::text::jsonb || jsonb_build_object('id', v, 'user_id', $3::text))).*
       FROM unnest($2::text[]) v`,
    [pattern.upload, videoIds, memberId(memberOfPattern)]
  )
  await query(
    stage.url,
    `INSERT INTO video.submissions
     SELECT (jsonb_populate_record(NULL::video.submissions,
               $1::text::jsonb || jsonb_build_object('id', s, 'video_id', v))).*
       FROM unnest($2::text[], $3::text[]) j (v, s)`,
    [pattern.submission, videoIds, submissionIds]
  )
  await query(
    stage.url,
    `INSERT INTO queue.verification_commands
     SELECT (jsonb_populate_record(NULL::queue.verification_commands,
               replace(replace($1, $4, v), $5, s)::jsonb
                 || jsonb_build_object('sequence', nextval('queue.verification_commands_sequence_seq')))).*
       FROM unnest($2::text[], $3::text[]) j (v, s)`,
    [pattern.command, videoIds, submissionIds, pattern.videoId, pattern.submissionId]
  )
}

/** Forgets every upload and submission, so that one fault leaves nothing to the next. */
export const clear = async (stage: Stage): Promise<void> => {
  await query(stage.url, "TRUNCATE video.uploads, video.submissions, queue.verification_commands CASCADE")
  for (const folder of readdirSync(stage.spool)) {
    rmSync(join(stage.spool, folder), { recursive: true, force: true, maxRetries: 10 })
  }
}
