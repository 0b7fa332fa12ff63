/**
 * The ledger as it should be, in plain data: what each command does to the books and what its caller is told. It shares no
 * code with the ledger that it judges, and knows nothing of batches, locks, SQL or time.
 */
export type AccountName = `${"wallet" | "escrow" | "clearing"}:${string}`

export type Command =
  | { readonly op: "transfer"; readonly key: string; readonly legs: ReadonlyArray<Leg> }
  | {
    readonly op: "authorise"
    readonly key: string
    readonly account: AccountName
    readonly amount: bigint
    /** Past its time from the start: it holds money until it is swept, and cannot be captured. */
    readonly stale: boolean
  }
  | {
    readonly op: "capture"
    readonly key: string
    readonly hold: string
    readonly amount: bigint
    readonly to: AccountName
  }
  | { readonly op: "void"; readonly hold: string }
  | { readonly op: "expire" }

export interface Leg {
  readonly account: AccountName
  readonly amount: bigint
}

/** What a caller learns. `id` is the ledger's own name for what was written; a replay must say the first one again. */
export type Outcome =
  | { readonly tag: "posted"; readonly id: string }
  | { readonly tag: "replayed"; readonly id: string }
  | { readonly tag: "insufficient"; readonly available: bigint }
  | { readonly tag: "conflict" }
  | { readonly tag: "closed"; readonly status: string }
  | { readonly tag: "exceeded"; readonly rest: bigint }
  | { readonly tag: "released" }
  | { readonly tag: "expired"; readonly holds: number }

export interface Hold {
  readonly account: AccountName
  readonly amount: bigint
  readonly captured: bigint
  readonly status: "open" | "captured" | "voided" | "expired"
  readonly stale: boolean
}

export interface Books {
  readonly balances: ReadonlyMap<AccountName, bigint>
  readonly held: ReadonlyMap<AccountName, bigint>
  readonly holds: ReadonlyMap<string, Hold>
  /** What was written under each key, as text, and the id that the first caller was given. Holds have keys of their own. */
  readonly transfers: ReadonlyMap<string, { readonly content: string; readonly id: string }>
  readonly authorisations: ReadonlyMap<string, { readonly content: string; readonly id: string }>
  /** The amounts of each account's entries, in the order in which they were made. */
  readonly entries: ReadonlyMap<AccountName, ReadonlyArray<bigint>>
}

export const empty: Books = {
  balances: new Map(),
  held: new Map(),
  holds: new Map(),
  transfers: new Map(),
  authorisations: new Map(),
  entries: new Map()
}

/** What the books say to a command: the expected answer (without the id of what is new), and what they are afterwards. */
export interface Decision {
  readonly outcome: Outcome
  readonly after: Books
}

const mayOwe = (account: AccountName) => account.startsWith("clearing:")
const contentOf = (command: Command) =>
  JSON.stringify(command, (_, value: unknown) => typeof value === "bigint" ? String(value) : value)

const availableOf = (books: Books, account: AccountName) =>
  (books.balances.get(account) ?? 0n) - (books.held.get(account) ?? 0n)

/** What an account had, and how much of it was set aside. */
export const standingOf = (books: Books, account: AccountName) => ({
  balance: books.balances.get(account) ?? 0n,
  held: books.held.get(account) ?? 0n
})

const change = <K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> => new Map(map).set(key, value)

const move = (books: Books, legs: ReadonlyArray<Leg>): Books => {
  const [balances, entries] = [new Map(books.balances), new Map(books.entries)]
  for (const { account, amount } of legs) {
    balances.set(account, (balances.get(account) ?? 0n) + amount)
    entries.set(account, [...entries.get(account) ?? [], amount])
  }
  return { ...books, balances, entries }
}

/** Lets go of part of a hold; the money stays where it is. */
const release = (
  books: Books,
  key: string,
  hold: Hold,
  amount: bigint,
  status: Hold["status"],
  captured: bigint
): Books => ({
  ...books,
  held: change(books.held, hold.account, (books.held.get(hold.account) ?? 0n) - amount),
  holds: change(books.holds, key, { ...hold, captured, status })
})

const refusal = (books: Books, legs: ReadonlyArray<Leg>): Outcome | undefined => {
  const short = legs.find(({ account, amount }) =>
    amount < 0n && !mayOwe(account) && availableOf(books, account) + amount < 0n
  )
  return short === undefined ? undefined : { tag: "insufficient", available: availableOf(books, short.account) }
}

const transfer = (books: Books, command: Command & { readonly op: "transfer" }, id: string): Decision => {
  const content = contentOf(command)
  const known = books.transfers.get(command.key)
  if (known !== undefined) return { outcome: again(known, content), after: books }
  const refused = refusal(books, command.legs)
  if (refused !== undefined) return { outcome: refused, after: books }
  const after = { ...move(books, command.legs), transfers: change(books.transfers, command.key, { content, id }) }
  return { outcome: { tag: "posted", id }, after }
}

const again = (known: { readonly content: string; readonly id: string }, content: string): Outcome =>
  known.content === content ? { tag: "replayed", id: known.id } : { tag: "conflict" }

const authorise = (books: Books, command: Command & { readonly op: "authorise" }, id: string): Decision => {
  const { account, amount, key, stale } = command
  // When a hold runs out is not part of what it is: a repetition may say another time.
  const content = contentOf({ ...command, stale: false })
  const known = books.authorisations.get(key)
  if (known !== undefined) return { outcome: again(known, content), after: books }
  const available = availableOf(books, account)
  if (available < amount) return { outcome: { tag: "insufficient", available }, after: books }
  return {
    outcome: { tag: "posted", id },
    after: {
      ...books,
      held: change(books.held, account, (books.held.get(account) ?? 0n) + amount),
      holds: change(books.holds, key, { account, amount, captured: 0n, status: "open", stale }),
      authorisations: change(books.authorisations, key, { content, id })
    }
  }
}

const capture = (books: Books, command: Command & { readonly op: "capture" }, id: string): Decision => {
  const content = contentOf(command)
  const known = books.transfers.get(command.key)
  if (known !== undefined) return { outcome: again(known, content), after: books }
  const hold = books.holds.get(command.hold)
  if (hold === undefined) return { outcome: { tag: "closed", status: "unknown" }, after: books }
  if (hold.status !== "open") return { outcome: { tag: "closed", status: hold.status }, after: books }
  if (hold.stale) return { outcome: { tag: "closed", status: "expired" }, after: books }
  const rest = hold.amount - hold.captured
  if (command.amount > rest) return { outcome: { tag: "exceeded", rest }, after: books }
  const captured = hold.captured + command.amount
  const released = release(
    books,
    command.hold,
    hold,
    command.amount,
    captured === hold.amount ? "captured" : "open",
    captured
  )
  const moved = move(released, [
    { account: hold.account, amount: -command.amount },
    { account: command.to, amount: command.amount }
  ])
  return {
    outcome: { tag: "posted", id },
    after: { ...moved, transfers: change(moved.transfers, command.key, { content, id }) }
  }
}

const voidHold = (books: Books, key: string): Decision => {
  const hold = books.holds.get(key)
  if (hold === undefined) return { outcome: { tag: "closed", status: "unknown" }, after: books }
  if (hold.status === "captured") return { outcome: { tag: "closed", status: "captured" }, after: books }
  if (hold.status !== "open") return { outcome: { tag: "released" }, after: books }
  const after = release(books, key, hold, hold.amount - hold.captured, "voided", hold.captured)
  return { outcome: { tag: "released" }, after }
}

const expire = (books: Books): Decision => {
  const due = [...books.holds].filter(([, hold]) => hold.status === "open" && hold.stale)
  const after = due.reduce(
    (all, [key, hold]) => release(all, key, hold, hold.amount - hold.captured, "expired", hold.captured),
    books
  )
  return { outcome: { tag: "expired", holds: due.length }, after }
}

/** Applies one command. `id` names what it writes, if it writes: the id that its caller was told. */
export const decide = (books: Books, command: Command, id: string): Decision => {
  switch (command.op) {
    case "transfer":
      return transfer(books, command, id)
    case "authorise":
      return authorise(books, command, id)
    case "capture":
      return capture(books, command, id)
    case "void":
      return voidHold(books, command.hold)
    case "expire":
      return expire(books)
  }
}
