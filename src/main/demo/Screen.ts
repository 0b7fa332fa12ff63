const colours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
export const paint = (code: number, text: string): string => colours ? `\x1b[${code}m${text}\x1b[0m` : text
export const bold = (text: string): string => paint(1, text)
export const dim = (text: string): string => paint(2, text)
export const green = (text: string): string => paint(32, text)
export const red = (text: string): string => paint(31, text)

/** Steps that were done stay; below them one line changes while work goes on. Without a terminal only the steps are told. */
export const makeScreen = () => {
  let live = ""
  const clear = () => {
    if (process.stdout.isTTY && live !== "") process.stdout.write("\r\x1b[2K")
  }
  const draw = () => {
    if (process.stdout.isTTY && live !== "") process.stdout.write(live)
  }
  return {
    say: (line = "") => {
      clear()
      process.stdout.write(`${line}\n`)
      draw()
    },
    step: (what: string, detail = "") => {
      clear()
      process.stdout.write(`  ${green("✓")} ${what.padEnd(46)} ${dim(detail)}\n`)
      draw()
    },
    status: (line: string) => {
      clear()
      live = line === "" ? "" : `  ${line}`.slice(0, (process.stdout.columns || 100) + 20)
      draw()
    }
  }
}
export type Screen = ReturnType<typeof makeScreen>

/** A bar of `width` cells, as full as `part` of `whole`. */
export const bar = (part: number, whole: number, width = 24): string => {
  const full = whole === 0 ? 0 : Math.min(width, Math.round(part / whole * width))
  return `${"█".repeat(full)}${dim("░".repeat(width - full))}`
}
