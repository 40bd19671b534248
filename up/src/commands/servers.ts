// `servers start|stop DIRECTORY`: starts real servers without the suite, for development and tests. They run until they are stopped.
import { attachServers, startServers } from 'testkit/servers/index'

const EXIT_USAGE = 64

/** Exit codes: 0 done · 64 wrong arguments. */
export async function servers([action, directory, ...rest]: string[]): Promise<number> {
  if (directory === undefined || rest.length > 0 || (action !== 'start' && action !== 'stop')) {
    process.stderr.write('usage: servers start DIRECTORY | servers stop DIRECTORY\n')
    return EXIT_USAGE
  }
  if (action === 'stop') {
    await (await attachServers(directory)).close({ deleteData: false })
    process.stdout.write('stopped; the data is kept\n')
    return 0
  }
  const { mode, rabbitmq, mysql } = await startServers({ directory, onProgress: print })
  process.stdout.write(`RabbitMQ ${rabbitmq.version} on ${rabbitmq.host}:${rabbitmq.port} (${mode})\n`)
  process.stdout.write(`MySQL ${mysql.version} on ${mysql.host}:${mysql.port} (${mode})\n`)
  process.stdout.write(`Tests use them with IMS_TEST_SERVERS=${directory}\n`)
  return 0
}

function print(text: string): void {
  process.stderr.write(`${text}\n`)
}
