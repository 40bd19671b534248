// Loaded before a service by the mutation check. Changes one place of one source file while Node loads it, or ends the process.
import { registerHooks } from 'node:module'

const { url: target, edits } = JSON.parse(process.env.IMS_MUTATION ?? '{}')

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    return url === target ? { ...loaded, source: edits.reduce(edited, String(loaded.source)) } : loaded
  },
})

function edited(source, { find, replace }) {
  if (source.split(find).length === 2) return source.replace(find, () => replace)
  process.stderr.write(`the mutation does not fit ${target} any more\n`)
  process.exit(70)
}
