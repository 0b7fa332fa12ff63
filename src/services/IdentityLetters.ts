import { Option, Redacted } from "effect"

export interface Letter {
  readonly subject: string
  readonly text: string
}

export type Occasion =
  | { readonly kind: "verify_email" | "reset_password"; readonly token: Redacted.Redacted<string> }
  | { readonly kind: "password_changed" }

const pages = { verify_email: "verify-email", reset_password: "reset-password" }

// Behind `#`, so that the token is in no server's log and in no Referer.
const link = (appUrl: Option.Option<string>, page: string, token: string): ReadonlyArray<string> =>
  Option.match(appUrl, {
    onNone: () => [],
    onSome: (base) => ["", `${base.replace(/\/$/, "")}/${page}#token=${token}`]
  })

// Lines short enough that no transfer encoding breaks the token in two.
const written = (lines: ReadonlyArray<string>) => `${lines.join("\n")}\n`

/** What a mail says. It names nobody: whoever it reached by mistake learns nothing. */
export const letterFor = (occasion: Occasion, appUrl: Option.Option<string>): Letter => {
  switch (occasion.kind) {
    case "verify_email": {
      const token = Redacted.value(occasion.token)
      return {
        subject: "Confirm your e-mail address",
        text: written([
          "Somebody registered with this e-mail address. If it was you, confirm it",
          "within 24 hours:",
          ...link(appUrl, pages.verify_email, token),
          "",
          `Token: ${token}`,
          "",
          "If it was not you, ignore this message."
        ])
      }
    }
    case "reset_password": {
      const token = Redacted.value(occasion.token)
      return {
        subject: "Choose a new password",
        text: written([
          "Somebody asked for a new password for the account with this address.",
          "If it was you, choose one within an hour:",
          ...link(appUrl, pages.reset_password, token),
          "",
          `Token: ${token}`,
          "",
          "If it was not you, ignore this message; nothing has changed."
        ])
      }
    }
    case "password_changed":
      return {
        subject: "Your password was changed",
        text: written([
          "The password of the account with this address was changed, and every other",
          "device was signed out.",
          "",
          "If it was not you, ask for a new password at once and tell our support."
        ])
      }
  }
}
