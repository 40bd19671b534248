// The migration: updates the schema and exits. compose and Kubernetes run it from this service's image.
import { migrate, mysqlEnvironment } from '@ims/repository'
import { runCommand } from '@ims/runtime'

void runCommand({ name: 'migrate', config: { mysql: mysqlEnvironment } }, async ({ mysql }, log) => {
  await migrate(mysql, log)
})
