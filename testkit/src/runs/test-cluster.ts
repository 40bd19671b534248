// `test:cluster`: tests the overlay `single` on the cluster that KUBECONFIG names. Without a cluster it fails and says why.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { run } from '../servers/command.ts'
import { ServersUnavailable } from '../servers/servers.ts'
import { ROOT } from './jest.ts'
import { runJest } from './jest-run.ts'
import { summaryLine } from './tally.ts'
import { interruptedBySignals } from './test.ts'

const ANSWERS_WITHIN_S = 15
const OVERLAY = join(ROOT, 'kubernetes', 'overlays', 'single')
const version = z.object({ gitVersion: z.string() })

/** Exit codes: 0 all passed · 1 something failed · 69 no kubectl, KUBECONFIG or cluster. Arguments select tests, as with jest. */
export async function testCluster(args: string[]): Promise<number> {
  process.stdout.write(
    `✓ Kubernetes ${await clusterVersion(process.env)} answers; the overlay kubernetes/overlays/single is what is tried\n`,
  )
  // Each step prints its own result as soon as it ends.
  const run = { projects: ['cluster'], args, reporter: 'summary', interrupted: interruptedBySignals() }
  const tally = await runJest(run)
  process.stdout.write(`${summaryLine(tally)}\n`)
  return tally.failed === 0 && tally.passed > 0 ? 0 : 1
}

/**
 * The version of the API server.
 * @throws ServersUnavailable with one sentence that says what is missing
 */
export async function clusterVersion({ KUBECONFIG = '' }: NodeJS.ProcessEnv): Promise<string> {
  if (KUBECONFIG === '') {
    throw new ServersUnavailable('KUBECONFIG is not set: it names the file that says where the cluster is')
  }
  const file = KUBECONFIG.split(':').find((each) => each !== '')
  if (file === undefined || !existsSync(file))
    throw new ServersUnavailable(`KUBECONFIG: there is no file ${KUBECONFIG}`)
  await run('kubectl', ['version', '--client']).catch((error: unknown) => {
    throw new ServersUnavailable(`kubectl cannot be run: ${firstLine(error)}`)
  })
  // Debian 12's kubectl (1.20) cannot do this. It would fail only after minutes, with an unclear message.
  await run('kubectl', ['kustomize', OVERLAY]).catch((error: unknown) => {
    throw new ServersUnavailable(`this kubectl cannot render ${OVERLAY} (1.22 or later can): ${lastLine(error)}`)
  })
  const asked = ['get', '--raw', '/version', `--request-timeout=${ANSWERS_WITHIN_S}s`]
  const answer = await run('kubectl', asked).catch((error: unknown) => {
    throw new ServersUnavailable(`the cluster of KUBECONFIG=${KUBECONFIG} does not answer: ${lastLine(error)}`)
  })
  return version.parse(JSON.parse(answer)).gitVersion
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim()
const firstLine = (error: unknown): string => textOf(error).split('\n')[0] ?? ''
const lastLine = (error: unknown): string => textOf(error).split('\n').at(-1) ?? ''
