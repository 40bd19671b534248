// Preloaded into a service by the mutation check. Edits source files while Node.js loads them, and exits if an edit does not match.
import { registerHooks } from 'node:module'

/** One mutation, or a list of them. */
const mutations = [JSON.parse(process.env.IMS_MUTATION ?? '[]')].flat()

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const wanted = mutations.find((each) => each.url === url)
    if (wanted === undefined) return loaded
    return {
      ...loaded,
      source: wanted.edits.reduce((source, edit) => edited(url, source, edit), String(loaded.source)),
    }
  },
})

function edited(target, source, { find, replace }) {
  if (source.split(find).length === 2) return source.replace(find, () => replace)
  process.stderr.write(`the mutation does not fit ${target} any more\n`)
  process.exit(70)
}
