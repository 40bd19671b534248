// Policies, queues and users, from the one list that all deployments load, cut to what a version of RabbitMQ understands.
import { definitions } from '@ims/accounts/definitions'
import { z } from 'zod'

const FIRST_WITH_QUORUM_POLICIES = 4

/** JSON text for `rabbitmqctl import_definitions` that puts the policies on `vhost`. */
export function policiesFor(vhost: string, version: string): string {
  return JSON.stringify({ policies: policies(vhost, version) })
}

/** The same for a vhost that does not exist yet; `username` gets all rights on it. */
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
/** People's accounts: whoever runs the local suite has its administrator's already. */
const PEOPLE: ReadonlySet<string> = new Set(['operator', 'monitoring'])

/** The services' users, their rights and their queues, of definitions that hold the hashes of their passwords. */
export function serviceAccounts(definitionsJson: string, vhost: string, version: string): string {
  const { users, permissions, queues } = rendered.parse(JSON.parse(definitionsJson))
  return JSON.stringify({
    users: users.filter(({ name }) => !PEOPLE.has(name)),
    permissions: permissions.filter(({ user }) => !PEOPLE.has(user)).map((each) => ({ ...each, vhost })),
    // Where there is no default queue type, queues are declared without arguments: so that they are found equal later.
    queues: queues.map((each) => ({ ...each, vhost, ...(hasDefaultQueueType(version) ? {} : { arguments: {} }) })),
  })
}

/** True when queues can be quorum queues by default, without saying so when they are declared. */
export function hasDefaultQueueType(version: string): boolean {
  return Number.parseInt(version, 10) >= FIRST_WITH_QUORUM_POLICIES
}

function policies(vhost: string, version: string): object[] {
  return definitions.policies
    .filter((policy) => hasDefaultQueueType(version) || policy['apply-to'] !== 'quorum_queues')
    .map((policy) => ({ ...policy, vhost }))
}
