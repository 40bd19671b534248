// The API reference of messaging. typedoc warns, and this test fails, if a public export refers to a type that is not exported.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { runToEnd } from 'testkit'

const ROOT = join(import.meta.dirname, '../../..')
const TYPEDOC = join(ROOT, 'acceptance/node_modules/.bin/typedoc')

it('the API reference is generated without warnings, with a page for openBroker and one for the in-memory broker', async () => {
  const out = mkdtempSync(join(tmpdir(), 'ims-api-'))
  try {
    const result = await runToEnd({
      command: [process.execPath, TYPEDOC, '--options', join(ROOT, 'messaging/typedoc.json'), '--out', out],
      cwd: ROOT,
    })
    expect(result).toMatchObject({ code: 0, out: expect.stringContaining('html generated') })
    expect(readdirSync(join(out, 'functions'))).toContain('index.openBroker.html')
    expect(readdirSync(join(out, 'classes'))).toContain('testing.InMemoryRabbitmq.html')
  } finally {
    rmSync(out, { recursive: true })
  }
})
