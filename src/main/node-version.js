// Plain JavaScript, loaded with --import before any TypeScript: an older Node would otherwise stop at the first `.ts`
// file with ERR_UNKNOWN_FILE_EXTENSION, which tells nobody what to do.
const major = Number(process.versions.node.split(".")[0])
if (major < 24) {
  process.stderr.write(
    `Midnight needs Node 24 and found ${process.versions.node}.\n`
      + "npm installs one for Linux, macOS and Windows as an optional dependency; run `npm ci` without --omit=optional,\n"
      + "and start through npm (`npm start`), which uses it whatever Node the machine has.\n"
  )
  process.exit(1)
}
