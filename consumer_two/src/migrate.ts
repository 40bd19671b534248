// The migration: brings the schema up to date and ends; compose and Kubernetes run it from this service's image.
import { migrate, mysqlEnvironment } from '@ims/repository'
import { runCommand } from '@ims/runtime'

void runCommand({ name: 'migrate', config: { mysql: mysqlEnvironment } }, async ({ mysql }, log) => {
  await migrate(mysql, log)
})
