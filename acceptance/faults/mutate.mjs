// Loaded before a service by the mutation check: changes one place of one source file on its way into Node, or ends the process.
import { registerHooks } from 'node:module'

const { url: target, find, replace } = JSON.parse(process.env.IMS_MUTATION ?? '{}')

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (url !== target) return loaded
    const source = String(loaded.source)
    if (source.split(find).length !== 2) {
      process.stderr.write(`the mutation does not fit ${target} any more\n`)
      process.exit(70)
    }
    return { ...loaded, source: source.replace(find, () => replace) }
  },
})
