import { Schema } from "effect"

/** A node of EXPLAIN (FORMAT JSON, VERBOSE), with what the doctor looks at. */
export interface PlanNode {
  readonly "Node Type": string
  readonly "Schema"?: string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Index Cond"?: string
  readonly "Filter"?: string
  readonly "Conflict Arbiter Indexes"?: ReadonlyArray<string>
  readonly "Actual Rows"?: number
  readonly "Rows Removed by Filter"?: number
  readonly "Shared Hit Blocks"?: number
  readonly "Shared Read Blocks"?: number
  readonly "Plans"?: ReadonlyArray<PlanNode>
}

const PlanNode: Schema.Codec<PlanNode> = Schema.Struct({
  "Node Type": Schema.String,
  "Schema": Schema.optionalKey(Schema.String),
  "Relation Name": Schema.optionalKey(Schema.String),
  "Index Name": Schema.optionalKey(Schema.String),
  "Index Cond": Schema.optionalKey(Schema.String),
  "Filter": Schema.optionalKey(Schema.String),
  "Conflict Arbiter Indexes": Schema.optionalKey(Schema.Array(Schema.String)),
  "Actual Rows": Schema.optionalKey(Schema.Number),
  "Rows Removed by Filter": Schema.optionalKey(Schema.Number),
  "Shared Hit Blocks": Schema.optionalKey(Schema.Number),
  "Shared Read Blocks": Schema.optionalKey(Schema.Number),
  "Plans": Schema.optionalKey(Schema.Array(Schema.suspend((): Schema.Codec<PlanNode> => PlanNode)))
})

const Explained = Schema.Tuple([
  Schema.Struct({ "Plan": PlanNode, "Execution Time": Schema.optionalKey(Schema.Number) })
])
export type Explained = typeof Explained.Type[0]

/** The answer of EXPLAIN (FORMAT JSON), which drivers give parsed or as text. */
export const decodeExplained = (answer: unknown) =>
  Schema.decodeUnknownEffect(typeof answer === "string" ? Schema.fromJsonString(Explained) : Explained)(answer)

export const nodesOf = (node: PlanNode): ReadonlyArray<PlanNode> => [node, ...(node.Plans ?? []).flatMap(nodesOf)]

/** Names of the indexes that a plan reads, or finds conflicts by. */
export const indexesOf = (plan: PlanNode): ReadonlyArray<string> =>
  nodesOf(plan).flatMap((node) => [
    ...(node["Index Name"] === undefined ? [] : [node["Index Name"]]),
    ...(node["Conflict Arbiter Indexes"] ?? [])
  ])

/** A whole table, or a whole index, read row by row. */
export interface FullRead {
  readonly kind: "table" | "index"
  /** `wallet.entries`; for an index its table. */
  readonly table: string
  readonly index: string | undefined
  /** What the rows were held against, where the plan says so. */
  readonly filter: string | undefined
  /** Rows read, each time; none without ANALYZE. */
  readonly rows: number
}

/** Where a plan reads everything: sequential scans, and index scans without a condition. */
export const fullReadsOf = (plan: PlanNode): ReadonlyArray<FullRead> =>
  nodesOf(plan).flatMap((node): ReadonlyArray<FullRead> => {
    const relation = node["Relation Name"]
    if (relation === undefined) return []
    const type = node["Node Type"]
    const sequential = /^(Parallel )?Seq Scan$/.test(type)
    const walks = /^Index (Only )?Scan$/.test(type) && node["Index Cond"] === undefined
    if (!sequential && !walks) return []
    const each = (node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0)
    return [{
      kind: sequential ? "table" : "index",
      table: `${node.Schema ?? "?"}.${relation}`,
      index: node["Index Name"],
      filter: node.Filter,
      rows: Math.round(each)
    }]
  })
