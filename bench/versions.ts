import { readFileSync } from "node:fs"
import { resolve } from "node:path"

const packages = ["effect", "@effect/sql-pg", "express", "fastify", "pg", "jose"]

/** What ran, by name. */
export const versions = (): Readonly<Record<string, string>> => ({
  node: process.versions.node,
  ...Object.fromEntries(packages.map((name) => {
    const text = readFileSync(resolve(import.meta.dirname, "..", "node_modules", name, "package.json"), "utf8")
    return [name, /"version": *"([^"]+)"/.exec(text)?.[1] ?? "unknown"]
  }))
})
