// Configuration from the environment. All sections are parsed, and all invalid or missing variables are reported together.
import { z } from 'zod'
import { valueIn } from './watched-variable.ts'

/** Sections of configuration by name. Each is a zod object over environment variables, usually piped into a transform. */
export type Sections = Readonly<Record<string, z.ZodType>>
export type ConfigOf<S extends Sections> = { readonly [Name in keyof S]: z.output<S[Name]> }

/** The environment is not a valid configuration. `problems` has one line for each problem, such as a missing variable or an unreadable file. */
export class InvalidEnvironment extends Error {
  override readonly name = 'InvalidEnvironment'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`the environment is not a valid configuration:\n${problems.map((each) => `  ${each}`).join('\n')}`)
    this.problems = problems
  }
}

/**
 * Parses all sections. Instead of a variable NAME, NAME_FILE may be set to the path of a file that contains the value, for
 * example a container secret. One trailing line break of the file is ignored.
 * @throws InvalidEnvironment that names every problem of every section
 */
export function parseEnvironment<S extends Sections>(sections: S, env: NodeJS.ProcessEnv): ConfigOf<S> {
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  for (const [name, section] of Object.entries(sections)) {
    const values = valuesOf(variablesOf(section), env, problems)
    const { data, error } = section.safeParse(values)
    config[name] = data
    for (const { path, message } of error?.issues ?? []) {
      const variable = path.join('.')
      if (problems.some((problem) => problem.startsWith(`${variable}_FILE: `))) continue
      problems.push(values[variable] === undefined ? `${variable}: is missing` : `${variable}: ${message}`)
    }
  }
  if (problems.length > 0) throw new InvalidEnvironment([...new Set(problems)])
  return config as ConfigOf<S> // each member was parsed by the section of the same name just above
}

/** One row of the documentation: a variable, its default and its purpose. */
export interface VariableRow {
  readonly variable: string
  readonly fallback: string | undefined
  readonly description: string
}

/** Lists the variables of sections, for the documentation and for the tests that compare the documentation with the code. */
export function environmentTable(sections: Sections): readonly VariableRow[] {
  return Object.values(sections).flatMap((section) =>
    Object.entries(variablesOf(section)).map(([variable, schema]) => ({
      variable,
      fallback: fallbackOf(schema),
      description: schema.description ?? '',
    })),
  )
}

function fallbackOf(schema: z.ZodType): string | undefined {
  const { success, data } = schema.safeParse(undefined)
  if (!success) return undefined
  return data === undefined ? 'not set' : String(data)
}

function variablesOf(section: z.ZodType): Readonly<Record<string, z.ZodType>> {
  if (section instanceof z.ZodObject) return section.shape
  if (section instanceof z.ZodPipe && section.in instanceof z.ZodObject) return section.in.shape
  throw new Error('a section of configuration must be a zod object, or one piped into a transform')
}

const exceptions = z.object({ isSetWhenEmpty: z.boolean().default(false), fileReplaces: z.string().optional() })

/**
 * Metadata of a variable's schema. `isSetWhenEmpty`: an empty value counts as set unless NAME_FILE is set, because it would
 * be unsafe to treat it as unset. `fileReplaces`: NAME_FILE overrides the variable if the variable has this value.
 */
const exceptionsOf = (variable: z.ZodType) => exceptions.parse(variable.meta() ?? {})

function valuesOf(
  variables: Readonly<Record<string, z.ZodType>>,
  env: NodeJS.ProcessEnv,
  problems: string[],
): Record<string, string | undefined> {
  const values: Record<string, string | undefined> = {}
  for (const [name, variable] of Object.entries(variables)) {
    const { isSetWhenEmpty, fileReplaces } = exceptionsOf(variable)
    const file = env[`${name}_FILE`] || undefined
    // An empty variable counts as unset: `NAME=` in a compose file must not override a default.
    const given = isSetWhenEmpty && file === undefined ? env[name] : env[name] || undefined
    const value = file !== undefined && given === fileReplaces ? undefined : given
    values[name] = value
    if (file === undefined) continue
    if (value !== undefined) problems.push(`${name}: both ${name} and ${name}_FILE are set, choose one`)
    const read = valueIn(file)
    if (read.value === undefined) problems.push(`${name}_FILE: cannot read ${file}: ${read.why}`)
    else values[name] = read.value
  }
  return values
}
