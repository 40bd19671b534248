// RabbitMQ and MySQL as containers of a Docker engine.
import { type OnProgress, type Servers, ServersUnavailable } from './servers.ts'

export async function startDocker(_directory: string, _onProgress: OnProgress): Promise<Servers> {
  throw new ServersUnavailable('containers are not supported yet; set IMS_SERVICES=local')
}

export function attachDocker(_directory: string): Servers {
  throw new ServersUnavailable('containers are not supported yet; set IMS_SERVICES=local')
}
