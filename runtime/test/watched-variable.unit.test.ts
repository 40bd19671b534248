// The value of a NAME_FILE variable is read again when the file changes.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { watchVariable } from '../src/watched-variable.ts'

const EVERY_MS = 10

describe('a watched variable', () => {
  let directory = ''
  let file = ''
  let events: string[] = []
  let watching: { close(): Promise<void> } | undefined
  const watch = () => {
    const changed = (value: string) => void events.push(value)
    watching = watchVariable('WATCHED', { changed, unreadable: (why) => void events.push(why) }, EVERY_MS)
  }
  const seen = async (count: number) => {
    for (let turn = 0; turn < 300 && events.length < count; turn += 1)
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    return events
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-watched-'))
    file = join(directory, 'value')
    events = []
    process.env.WATCHED_FILE = file
  })
  afterEach(async () => {
    await watching?.close()
    delete process.env.WATCHED_FILE
    rmSync(directory, { recursive: true })
  })

  it('is reported at the start and when its content changes', async () => {
    writeFileSync(file, 'one\n')
    watch()
    expect(await seen(1)).toEqual(['one'])
    writeFileSync(file, 'one\n')
    await new Promise((resolve) => setTimeout(resolve, 5 * EVERY_MS))
    writeFileSync(`${file}.next`, 'two')
    renameSync(`${file}.next`, file)
    expect(await seen(2)).toEqual(['one', 'two'])
  })

  it('is reported when a link in its path is replaced, as Kubernetes does with a Secret', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(directory, version))
      writeFileSync(join(directory, version, 'value'), version)
    }
    symlinkSync('v1', join(directory, '..data'))
    symlinkSync('..data/value', file)
    watch()
    await seen(1)
    symlinkSync('v2', join(directory, '..data.next'))
    renameSync(join(directory, '..data.next'), join(directory, '..data'))
    expect(await seen(2)).toEqual(['v1', 'v2'])
  })

  it('is reported once as unreadable, and with its content when the file is readable again', async () => {
    writeFileSync(file, 'one')
    watch()
    await seen(1)
    rmSync(file)
    expect(await seen(2)).toEqual(['one', expect.stringMatching(/^WATCHED_FILE: cannot read .*value: .*ENOENT/)])
    await new Promise((resolve) => setTimeout(resolve, 5 * EVERY_MS))
    writeFileSync(file, 'one')
    expect(await seen(3)).toEqual(['one', expect.anything(), 'one'])
  })

  it('is not reported after the watch is closed', async () => {
    writeFileSync(file, 'one')
    watch()
    await seen(1)
    await watching?.close()
    writeFileSync(file, 'two')
    await new Promise((resolve) => setTimeout(resolve, 5 * EVERY_MS))
    expect(events).toEqual(['one'])
  })
})
