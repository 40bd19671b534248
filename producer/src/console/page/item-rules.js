// Checks a new item by the rules of the OpenAPI document. The API checks it again, by stricter rules.

/** The faults of `body` by member, in the order of the members. Empty if the document could not be loaded. */
export function faultsOf(body, schemas) {
  const faults = {}
  if (schemas === undefined) return faults
  for (const [member, given] of Object.entries(schemas.Item.properties)) {
    const fault = faultOf(body[member] ?? '', resolved(given, schemas), schemas)
    if (fault !== undefined) faults[member] = fault
  }
  return faults
}

const resolved = (schema, schemas) => (schema.$ref ? schemas[schema.$ref.split('/').pop()] : schema)

function faultOf(text, schema, schemas) {
  const number = schema.anyOf?.find(({ minimum }) => minimum !== undefined)
  if (number !== undefined) return numberFaultOf(text, number, schemas.Decimal)
  const characters = [...text].length
  if (characters < (schema.minLength ?? 0)) return 'must not be empty'
  if (characters > (schema.maxLength ?? Number.POSITIVE_INFINITY))
    return `must have at most ${schema.maxLength} characters`
  return undefined
}

function numberFaultOf(text, { type, minimum, maximum = Number.POSITIVE_INFINITY }, decimal) {
  if (!new RegExp(decimal.pattern).test(text)) return 'must be a number'
  const value = Number(text)
  if (type === 'integer' && !Number.isInteger(value)) return 'must be a whole number'
  if (value < minimum) return minimum === 0 ? 'must not be negative' : `must be at least ${minimum}`
  return value > maximum ? `must be at most ${maximum}` : undefined
}
