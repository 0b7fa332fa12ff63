/**
 * Every index of the application's schemas and why it is there: the named queries that look rows up by it, or the rule
 * that it enforces by being unique. The doctor holds the database against this list, and a test holds this list
 * against what PostgreSQL does with the queries. Definitions are those of pg_get_indexdef, from USING on.
 */
export interface Expected {
  readonly definition: string
  /** Named queries; empty where the index is kept for a rule. */
  readonly queries: ReadonlyArray<string>
  readonly rule: string | undefined
}

/** `queries` are separated by spaces. */
export const serves = (definition: string, queries: string): Expected => ({
  definition,
  queries: queries.split(" "),
  rule: undefined
})
export const keeps = (definition: string, rule: string): Expected => ({ definition, queries: [], rule })
