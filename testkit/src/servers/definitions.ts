// Policies, queues and users from the definitions that all deployments load, limited to what this version of RabbitMQ supports.
import { definitions } from '@ims/accounts/definitions'
import { z } from 'zod'

const FIRST_WITH_QUORUM_POLICIES = 4

/** JSON text for `rabbitmqctl import_definitions` that sets the policies on `vhost`. */
export function policiesFor(vhost: string, version: string): string {
  return JSON.stringify({ policies: policies(vhost, version) })
}

/** Like policiesFor, and also creates the vhost. `username` gets all permissions on it. */
export function newVhost(vhost: string, username: string, version: string): string {
  return JSON.stringify({
    vhosts: [{ name: vhost }],
    permissions: [{ user: username, vhost, configure: '.*', write: '.*', read: '.*' }],
    policies: policies(vhost, version),
  })
}

const rendered = z.object({
  users: z.array(z.looseObject({ name: z.string() })),
  permissions: z.array(z.looseObject({ user: z.string(), vhost: z.string() })),
  queues: z.array(z.looseObject({ vhost: z.string(), arguments: z.looseObject({}) })),
})
/** Accounts of people. The local suite does not need them, because its user has the administrator account. */
const PEOPLE: ReadonlySet<string> = new Set(['operator', 'monitoring'])

/** The services' users, permissions and queues, from definitions that contain the password hashes. */
export function serviceAccounts(definitionsJson: string, vhost: string, version: string): string {
  const { users, permissions, queues } = rendered.parse(JSON.parse(definitionsJson))
  return JSON.stringify({
    users: users.filter(({ name }) => !PEOPLE.has(name)),
    permissions: permissions.filter(({ user }) => !PEOPLE.has(user)).map((each) => ({ ...each, vhost })),
    // Services declare queues without arguments. Without a default queue type, these queues must have none either.
    queues: queues.map((each) => ({ ...each, vhost, ...(hasDefaultQueueType(version) ? {} : { arguments: {} }) })),
  })
}

/** True when quorum can be the default queue type, so that a declaration does not have to name it. */
export function hasDefaultQueueType(version: string): boolean {
  return Number.parseInt(version, 10) >= FIRST_WITH_QUORUM_POLICIES
}

function policies(vhost: string, version: string): object[] {
  return definitions.policies
    .filter((policy) => hasDefaultQueueType(version) || policy['apply-to'] !== 'quorum_queues')
    .map((policy) => ({ ...policy, vhost }))
}
