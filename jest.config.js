// Jest projects: unit (no servers), integration (one library or service on real servers), acceptance (the whole suite as
// processes), serverless (slow tests without servers), containers (the whole suite as containers), cluster (the whole suite on
// Kubernetes).
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
  testTimeout: 60_000,
  projects: [
    project('unit', ['<rootDir>/*/test/**/*.unit.test.ts']),
    project('integration', ['<rootDir>/*/test/**/*.integration.test.ts', '!**/simulation/test/**']),
    project('acceptance', ['<rootDir>/acceptance/test/**/*.acceptance.test.ts', '!**/test/pipelines/**']),
    project('serverless', [
      '<rootDir>/simulation/test/**/*.integration.test.ts',
      '<rootDir>/acceptance/test/pipelines/**/*.acceptance.test.ts',
    ]),
    project('containers', ['<rootDir>/acceptance/test/**/*.containers.test.ts']),
    project('cluster', ['<rootDir>/acceptance/test/**/*.cluster.test.ts']),
  ],
}
