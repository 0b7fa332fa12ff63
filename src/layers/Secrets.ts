import { Config, type Redacted, Schema } from "effect"

// What people write where a secret belongs, until they think of one.
const placeholders =
  /change|secret|passw(?:or)?d|passphrase|example|default|dummy|replace|insert|placeholder|your|this|please|here|production|development|midnight|qwertyuiop|asdfghjkl|zxcvbnm/gi

/** Next to each other, in either direction: the same again, `a` and `b`, `9` and `0`. */
const stepOf = (from: string, to: string): number => {
  const step = to.charCodeAt(0) - from.charCodeAt(0)
  if (from === "9" && to === "0") return 1
  return from === "0" && to === "9" ? -1 : step
}

/** The same text without what continues a sequence: of `12345678` the first two are left, of `aaaa` too. */
const withoutSequences = (text: string): string => {
  let kept = text.slice(0, 2)
  for (let at = 2; at < text.length; at++) {
    const step = stepOf(text.charAt(at - 1), text.charAt(at))
    if (Math.abs(step) > 1 || step !== stepOf(text.charAt(at - 2), text.charAt(at - 1))) kept += text.charAt(at)
  }
  return kept
}

/** Its shortest part that, over and over, makes the whole. */
const withoutRepetition = (text: string): string => {
  for (let period = 1; period < text.length; period++) {
    if (text.startsWith(text.slice(period))) return text.slice(0, period)
  }
  return text
}

/**
 * Says what is wrong with a secret that somebody typed instead of generating it. What is judged is what a guesser would have
 * to guess: the text without repetition, counting and placeholders.
 */
const isGenerated = (text: string) => {
  const words = withoutRepetition(text).replace(placeholders, "").replace(/[\s_.-]/g, "")
  const rest = withoutRepetition(withoutSequences(words))
  return (rest.length >= 16 && new Set(rest).size >= 8) ||
    "a generated secret, such as `openssl rand -base64 33` prints; this one is a placeholder, repeats or counts"
}

const generated = Schema.makeFilter(isGenerated)

/** A secret of at least 32 characters that nobody would guess: others can be guessed offline from one signature. */
export const secret = (name: string): Config.Config<Redacted.Redacted<string>> =>
  Config.schema(Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(32), generated)), name)

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** A fake on this machine, which issues whatever it likes. */
const isFake = (apiBase: string) => URL.canParse(apiBase) && loopback.test(new URL(apiBase).hostname)

/**
 * What a provider has issued. Both verify events by such a secret, so a short one is as bad as none; where a provider documents how
 * its secrets begin, another beginning is a mistake.
 */
export const issued = (
  name: string,
  apiBase: string,
  beginning: RegExp
): Config.Config<Redacted.Redacted<string>> => {
  const itself = Schema.makeFilter((text: string) => {
    const [prefix] = beginning.exec(text) ?? []
    return prefix === undefined
      ? `a secret that begins as the provider's do: ${beginning.source.slice(1)}`
      : isGenerated(text.slice(prefix.length))
  })
  return Config.schema(
    Schema.RedactedFromValue(
      isFake(apiBase) ? Schema.NonEmptyString : Schema.String.check(Schema.isMinLength(32), itself)
    ),
    name
  )
}
