// The addresses of RabbitMQ and MySQL as the environment variables that every service reads.

interface Where {
  readonly rabbitmq: { host: string; port: number; username: string; password: string; vhost: string }
  readonly mysql: { host: string; port: number; user: string; password: string; database: string }
}

/** The variables RABBITMQ_* and MYSQL_* for these servers. */
export function serversEnvironment({ rabbitmq, mysql }: Where): Record<string, string> {
  return {
    RABBITMQ_HOST: rabbitmq.host,
    RABBITMQ_PORT: String(rabbitmq.port),
    RABBITMQ_USERNAME: rabbitmq.username,
    RABBITMQ_PASSWORD: rabbitmq.password,
    RABBITMQ_VHOST: rabbitmq.vhost,
    MYSQL_HOST: mysql.host,
    MYSQL_PORT: String(mysql.port),
    MYSQL_USER: mysql.user,
    MYSQL_PASSWORD: mysql.password,
    MYSQL_DATABASE: mysql.database,
  }
}
