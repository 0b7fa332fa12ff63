import { Effect } from "effect"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { ApiTest, eventually } from "./ApiTest.ts"

/** Every mail in the folder, oldest first. */
const mails = Effect.flatMap(ApiTest, ({ mailbox }) =>
  Effect.promise(async () => {
    const names = await readdir(mailbox).catch(() => [])
    const whole = names.filter((name) => name.endsWith(".eml")).sort()
    return Promise.all(whole.map((name) => readFile(join(mailbox, name), "utf8")))
  }))

/** The mails that an address was sent under a subject. */
export const mailsTo = (email: string, subject: string) =>
  Effect.map(
    mails,
    (all) => all.filter((mail) => mail.includes(`\r\nTo: ${email}\r\n`) && mail.includes(`\r\nSubject: ${subject}\r\n`))
  )

export const subjects = {
  verify: "Confirm your e-mail address",
  reset: "Choose a new password",
  changed: "Your password was changed"
} as const

/** The newest mail to an address under a subject, once there are so many. */
export const awaitMail = (email: string, subject: string, count = 1) =>
  Effect.map(eventually(mailsTo(email, subject), (found) => found.length >= count), (found) => found.at(-1) ?? "")

export const tokenIn = (mail: string): string => /^Token: (\S+)\r$/m.exec(mail)?.[1] ?? "no token"

export const awaitToken = (email: string, subject: string, count = 1) =>
  Effect.map(awaitMail(email, subject, count), tokenIn)
