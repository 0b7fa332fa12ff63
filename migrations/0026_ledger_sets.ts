import { exactInOneStatement } from "./0016_ledger_batches.ts"
import { statements } from "./statements.ts"

// A block of its own is a subtransaction: what its members wrote goes with it, and the batch's other commands stay.
const set = `
    IF op = 'set' THEN
      BEGIN
        members := post_exact(c->'commands', moment);
        SELECT jsonb_build_object('outcome', 'set_refused', 'member', m.nth - 1, 'why', m.told) INTO outcome
          FROM jsonb_array_elements(members) WITH ORDINALITY AS m (told, nth)
         WHERE m.told->>'outcome' NOT IN ('posted', 'replayed') ORDER BY m.nth LIMIT 1;
        IF FOUND THEN RAISE EXCEPTION 'a member of a set is refused' USING ERRCODE = 'MN002'; END IF;
        outcome := jsonb_build_object('outcome', 'set_posted', 'members', members);
      EXCEPTION WHEN SQLSTATE 'MN002' THEN
        -- Nothing of the set stays but the answer, which says whose fault it was.
      END;
      outcomes := outcomes || outcome; CONTINUE;
    END IF;`

const edits = [
  ["  c jsonb; leg jsonb;", "  c jsonb; leg jsonb; members jsonb;"],
  ["    op := c->>'op';", `    op := c->>'op';\n${set.slice(1)}`]
] as const

const edited = (source: string) =>
  edits.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`post_exact is not what this migration changes: ${from}`)
    return text.replace(from, () => to)
  }, source)

/** The exact path as this migration left it. */
export const postExact = edited(exactInOneStatement)

/**
 * The exact path takes one more command:
 *
 *   set       {op, commands}       all of its members are posted, or none is and the answer says which was refused and why
 */
export const ledgerSets = statements([postExact])
