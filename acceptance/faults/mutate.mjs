// Loaded before a service by the mutation check. Changes places of source files while Node loads them, or ends the process.
import { registerHooks } from 'node:module'

/** One file, or several. */
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
