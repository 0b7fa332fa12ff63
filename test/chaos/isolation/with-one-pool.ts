// Loaded before the API's own modules: what they import as the pools is one-pool.ts.
import { registerHooks } from "node:module"

const mutant = new URL("one-pool.ts", import.meta.url).href

registerHooks({
  resolve: (specifier, context, next) => {
    const found = next(specifier, context)
    const isPools = found.url.endsWith("/src/layers/Pools.ts") && context.parentURL !== mutant
    return isPools ? { ...found, url: mutant } : found
  }
})
