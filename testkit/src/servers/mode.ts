// Selects how RabbitMQ and MySQL are provided: external servers, Docker containers, or private instances of installed programs.
import { succeeds } from './command.ts'
import { type Mode, modes, ServersUnavailable } from './servers.ts'

const ENGINE_RESPONDS_WITHIN_MS = 10_000

/** The mode that the environment forces or implies. Undefined when it depends on a Docker engine. */
export function modeByEnvironment(environment: NodeJS.ProcessEnv): Mode | undefined {
  const forced = environment.IMS_SERVICES ?? ''
  if (forced !== '') {
    const mode = modes.find((name) => name === forced)
    if (mode === undefined) {
      throw new ServersUnavailable(`IMS_SERVICES is "${forced}", but must be one of ${modes.join(', ')}, or not set`)
    }
    return mode
  }
  const isGiven = ['RABBITMQ_HOST', 'MYSQL_HOST'].every((name) => environment[name] || environment[`${name}_FILE`])
  return isGiven ? 'external' : undefined
}

/** The mode for this machine and environment. Rejects with ServersUnavailable when IMS_SERVICES has an unknown value. */
export async function chooseMode(environment: NodeJS.ProcessEnv): Promise<Mode> {
  return modeByEnvironment(environment) ?? ((await dockerAnswers()) ? 'docker' : 'local')
}

/** True when a Docker engine responds to `docker info`. */
export async function dockerAnswers(): Promise<boolean> {
  return await succeeds('docker', ['info'], ENGINE_RESPONDS_WITHIN_MS)
}

/** Like chooseMode, but never external, because tests stop servers and delete data. Rejects when IMS_SERVICES forces external. */
export async function chooseTestMode(environment: NodeJS.ProcessEnv): Promise<Exclude<Mode, 'external'>> {
  if (environment.IMS_SERVICES === 'external') {
    throw new ServersUnavailable(
      'tests stop and start their servers, so they cannot use external ones; unset IMS_SERVICES, or set it to docker or local',
    )
  }
  const mode = modeByEnvironment(environment)
  if (mode === 'local' || mode === 'docker') return mode
  return (await dockerAnswers()) ? 'docker' : 'local'
}
