// Jest projects: unit (quick, no servers), standalone (starts processes, keeps many sockets or takes long, but needs no
// RabbitMQ and no MySQL), integration (one library or service on real servers), acceptance (the whole suite as processes),
// containers (the whole suite as containers), cluster (the whole suite on Kubernetes).
const swc = {
  jsc: { parser: { syntax: 'typescript' }, target: 'es2024' },
  module: { type: 'es6' },
  sourceMaps: 'inline',
}

const project = (displayName, testMatch) => ({
  displayName,
  testMatch,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  // Not in the temporary folder, because each run has its own.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  transform: { '\\.ts$': ['@swc/jest', swc] },
  modulePathIgnorePatterns: ['<rootDir>/.local/'],
})

export default {
  // The limit is for tests that hang, not for a busy machine.
  testTimeout: 600_000,
  projects: [
    project('unit', ['<rootDir>/*/test/**/*.unit.test.ts']),
    project('standalone', ['<rootDir>/*/test/**/*.standalone.test.ts']),
    project('integration', ['<rootDir>/*/test/**/*.integration.test.ts']),
    project('acceptance', ['<rootDir>/acceptance/test/**/*.acceptance.test.ts']),
    project('containers', ['<rootDir>/acceptance/test/**/*.containers.test.ts']),
    project('cluster', ['<rootDir>/acceptance/test/**/*.cluster.test.ts']),
  ],
}
