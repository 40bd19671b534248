// Configuration from the environment: strict parsing, a report of all problems, and values from files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { environmentTable, InvalidEnvironment, parseEnvironment, runtimeSections, type Sections } from '../src/index.ts'
import { port } from '../src/variables.ts'

const server = z
  .object({
    HOST: z.string().min(1).describe('where it is'),
    PORT: port.default(80).describe('its port'),
    PASSWORD: z.string().min(8).default('too secret').describe('its password'),
  })
  .transform((v) => ({ host: v.HOST, port: v.PORT, password: v.PASSWORD }))
const options = z.object({ COLOUR: z.enum(['red', 'blue']).default('red').describe('its colour') })
const sections = { server, options }

const directory = mkdtempSync(`${tmpdir()}/ims-environment-`)
afterAll(() => rmSync(directory, { recursive: true }))

let files = 0
const fileWith = (text: string) => {
  files += 1
  const path = `${directory}/${files}`
  writeFileSync(path, text)
  return path
}

/** The problems for which the environment is rejected. */
function problemsOf(given: Sections, env: NodeJS.ProcessEnv): readonly string[] {
  try {
    parseEnvironment(given, env)
    return []
  } catch (error) {
    if (error instanceof InvalidEnvironment) return error.problems
    throw error
  }
}

describe('the configuration', () => {
  it('is parsed from the environment, with defaults', () => {
    expect(parseEnvironment(sections, { HOST: 'there', COLOUR: 'blue' })).toEqual({
      server: { host: 'there', port: 80, password: 'too secret' },
      options: { COLOUR: 'blue' },
    })
  })

  it.each(['12x', ' 80', '8e1', '0x50', '-1', '80.0', '65536', '0'])('rejects %j as a port', (PORT) => {
    expect(problemsOf(sections, { HOST: 'there', PORT })).toEqual([expect.stringMatching(/^PORT: /)])
  })

  it('treats an empty variable as unset', () => {
    expect(parseEnvironment(sections, { HOST: 'there', PORT: '' })).toMatchObject({ server: { port: 80 } })
    expect(problemsOf(sections, { HOST: '' })).toEqual(['HOST: is missing'])
  })

  it('reports every problem of every section, and shows no secret', () => {
    const problems = problemsOf(sections, { PORT: 'http', PASSWORD: 'short', COLOUR: 'green' })
    expect(problems).toEqual([
      'HOST: is missing',
      'PORT: must be a whole number',
      expect.stringMatching(/^PASSWORD: (?!.*short)/),
      expect.stringMatching(/^COLOUR: /),
    ])
  })

  it('reports a missing variable once, even if two sections need it', () => {
    expect(problemsOf({ one: server, other: server }, {})).toEqual(['HOST: is missing'])
  })

  it('reads a value from NAME_FILE, and drops one trailing line break', () => {
    const env = { HOST: 'there', PASSWORD_FILE: fileWith('from a file\n\n') }
    expect(parseEnvironment({ server }, env)).toMatchObject({ server: { password: 'from a file\n' } })
  })

  it('rejects NAME together with NAME_FILE, and a file that cannot be read', () => {
    const env = { HOST: 'there', HOST_FILE: fileWith('here'), PASSWORD_FILE: '/nowhere/at/all' }
    expect(problemsOf(sections, env)).toEqual([
      'HOST: both HOST and HOST_FILE are set, choose one',
      expect.stringMatching(/^PASSWORD_FILE: cannot read \/nowhere\/at\/all: /),
    ])
  })

  it('reports only the unreadable file of a required variable', () => {
    expect(problemsOf(sections, { HOST_FILE: '/nowhere' })).toEqual([expect.stringMatching(/^HOST_FILE: cannot read/)])
  })

  it('lists its variables with defaults and descriptions', () => {
    expect(environmentTable(sections)).toEqual([
      { variable: 'HOST', fallback: undefined, description: 'where it is' },
      { variable: 'PORT', fallback: '80', description: 'its port' },
      { variable: 'PASSWORD', fallback: 'too secret', description: 'its password' },
      { variable: 'COLOUR', fallback: 'red', description: 'its colour' },
    ])
    const rows = environmentTable(runtimeSections(9092))
    expect(rows.find(({ variable }) => variable === 'ADMIN_PORT')?.fallback).toBe('9092')
    for (const { description } of rows) expect(description).not.toBe('')
  })
})
