// Updates the schema and exits. Compose and Kubernetes run this program from this service's image.
import { migrate, mysqlEnvironment } from '@ims/repository'
import { runCommand } from '@ims/runtime'

void runCommand({ name: 'migrate', config: { mysql: mysqlEnvironment } }, async ({ mysql }, log) => {
  await migrate(mysql, log)
})
