// `test:cluster`: tests the overlay `single` on the cluster of KUBECONFIG. Without a cluster it fails and prints the reason.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { run } from '../servers/command.ts'
import { ServersUnavailable } from '../servers/servers.ts'
import { ROOT } from './jest.ts'
import { runJest } from './jest-run.ts'
import { summaryLine } from './tally.ts'
import { interruptedBySignals } from './test.ts'

const RESPONDS_WITHIN_S = 15
const OVERLAY = join(ROOT, 'kubernetes', 'overlays', 'single')
const version = z.object({ gitVersion: z.string() })

/** Exit codes: 0 all tests passed · 1 a test failed, or none ran · 69 no kubectl, KUBECONFIG or cluster. Arguments select tests, as with jest. */
export async function testCluster(args: string[]): Promise<number> {
  process.stdout.write(
    `✓ Kubernetes ${await clusterVersion(process.env)} responds; testing the overlay kubernetes/overlays/single\n`,
  )
  // The tests print the result of each step when it ends.
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
    throw new ServersUnavailable('KUBECONFIG is not set: it must name the file with the address of the cluster')
  }
  const file = KUBECONFIG.split(':').find((each) => each !== '')
  if (file === undefined || !existsSync(file))
    throw new ServersUnavailable(`KUBECONFIG: there is no file ${KUBECONFIG}`)
  await run('kubectl', ['version', '--client']).catch((error: unknown) => {
    throw new ServersUnavailable(`kubectl cannot be run: ${firstLine(error)}`)
  })
  // kubectl 1.20 of Debian 12 cannot render the overlay. Without this check it would fail after minutes, with an unclear message.
  await run('kubectl', ['kustomize', OVERLAY]).catch((error: unknown) => {
    throw new ServersUnavailable(`this kubectl cannot render ${OVERLAY} (1.22 or later can): ${lastLine(error)}`)
  })
  const asked = ['get', '--raw', '/version', `--request-timeout=${RESPONDS_WITHIN_S}s`]
  const answer = await run('kubectl', asked).catch((error: unknown) => {
    throw new ServersUnavailable(`the cluster of KUBECONFIG=${KUBECONFIG} does not respond: ${lastLine(error)}`)
  })
  return version.parse(JSON.parse(answer)).gitVersion
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim()
const firstLine = (error: unknown): string => textOf(error).split('\n')[0] ?? ''
const lastLine = (error: unknown): string => textOf(error).split('\n').at(-1) ?? ''
