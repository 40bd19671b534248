// The status of the suite as a text table.
import { printable } from '@ims/runtime'
import type { Status } from './status-report.ts'

const HEAD = ['SERVICE', 'STATE', 'PID', 'ADMIN', 'RESTARTS', 'REASON']

/** A summary, a table of the services, and the addresses of the servers, without a trailing newline. */
export function statusTable({ report, summary, mode, remarks }: Status): string {
  const processes = [...report.servers.map((server) => ({ ...server, admin: undefined })), ...report.services]
  const rows = processes.map(({ name, state, pid, admin }, index) => {
    const { reason = '', restarts = 0 } = remarks[index] ?? {}
    const port = admin === undefined ? '-' : `127.0.0.1:${admin}`
    return [name, state, pid === null ? '-' : String(pid), port, String(restarts), printable(reason)]
  })
  const lines = [summary, ...aligned([HEAD, ...rows])]
  const { rabbitmq, mysql } = report
  if (rabbitmq !== null) {
    lines.push(
      `RabbitMQ  ${rabbitmq.host}:${rabbitmq.port}, vhost ${rabbitmq.vhost}, user ${rabbitmq.username} (${mode})`,
    )
  }
  if (rabbitmq !== null && mode === 'local') lines.push('          npm run rabbitmqctl -- list_queues')
  if (mysql !== null)
    lines.push(`MySQL     ${mysql.host}:${mysql.port}, database ${mysql.database}, user ${mysql.user} (${mode})`)
  return lines.join('\n')
}

function aligned(rows: readonly string[][]): string[] {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
