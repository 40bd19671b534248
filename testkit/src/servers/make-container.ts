// Creates a container with testcontainers, which pulls the image and can remove the container when this process has exited.
import { GenericContainer, getContainerRuntimeClient, getReaper } from 'testcontainers'
import { succeeds } from './command.ts'
import type { OnProgress } from './servers.ts'

const LOOPBACK = '127.0.0.1'
const ASKED_WITHIN_MS = 15_000
const STARTED_WITHIN_MS = 180_000

export interface Recipe {
  readonly name: string
  readonly image: string
  readonly hostname: string
  readonly hostPort: number
  readonly containerPort: number
  readonly environment: Readonly<Record<string, string>>
  readonly args: readonly string[]
  /** A file to copy into the container before the first start, because the engine may not share our file system. */
  readonly file?: { readonly from: string; readonly to: string }
}

// If /.dockerenv exists, testcontainers assumes that it runs in a container and connects to the gateway of the bridge.
// Ports that are published on loopback are not reachable there.
process.env.TESTCONTAINERS_HOST_OVERRIDE ??= LOOPBACK

/** Publishes ports on loopback only. By default testcontainers publishes them on every interface. */
class OnLoopback extends GenericContainer {
  protected override async beforeContainerCreated(): Promise<void> {
    for (const bindings of Object.values(this.hostConfig.PortBindings ?? {}))
      for (const binding of Array.isArray(bindings) ? bindings : []) binding.HostIp = LOOPBACK
  }
}

/**
 * Creates and starts the container, if it does not exist. With `lifetime` process, the reaper of testcontainers removes it
 * when this process has exited. If the image of the reaper is not available, the container stays until it is removed.
 */
export async function makeContainer(
  recipe: Recipe,
  lifetime: 'process' | 'kept',
  onProgress: OnProgress,
): Promise<void> {
  const { name, image, hostname, containerPort, hostPort, environment, args, file } = recipe
  if (await succeeds('docker', ['container', 'inspect', name], ASKED_WITHIN_MS)) return
  if (!(await succeeds('docker', ['image', 'inspect', image], ASKED_WITHIN_MS)))
    onProgress(`pulling the image ${image}`)
  if (lifetime === 'process') await reaperOrWithout(onProgress)
  const container = new OnLoopback(image)
    .withName(name)
    .withHostname(hostname)
    .withExposedPorts({ container: containerPort, host: hostPort })
    .withEnvironment({ ...environment })
    .withAutoCleanup(lifetime === 'process')
    .withStartupTimeout(STARTED_WITHIN_MS)
  if (args.length > 0) container.withCommand([...args])
  if (file !== undefined) container.withCopyFilesToContainer([{ source: file.from, target: file.to }])
  await container.start()
}

/** Starts the reaper, which is a container too. Disables it if that fails, because testcontainers would then start no container. */
async function reaperOrWithout(onProgress: OnProgress): Promise<void> {
  try {
    await getReaper(await getContainerRuntimeClient())
  } catch (error) {
    process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error)
    onProgress(
      `the image of testcontainers' reaper is not available (${why}): containers of a killed run stay until the next run`,
    )
  }
}
