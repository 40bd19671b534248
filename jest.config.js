// Jest projects, so that the quick one needs no server: unit (beside the code), integration (one library or service on real
// servers), acceptance (the whole suite as processes), serverless (what takes long and starts no server), containers (the whole
// suite as containers), cluster (the whole suite on Kubernetes).
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
  // Not in the temporary folder, which each run has of its own.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  transform: { '\\.ts$': ['@swc/jest', swc] },
  modulePathIgnorePatterns: ['<rootDir>/.local/'],
})

export default {
  // A limit is for what hangs, not for a machine that is busy.
  testTimeout: 60_000,
  projects: [
    project('unit', ['<rootDir>/*/test/**/*.unit.test.ts']),
    project('integration', ['<rootDir>/*/test/**/*.integration.test.ts', '!<rootDir>/simulation/**']),
    project('acceptance', ['<rootDir>/acceptance/test/**/*.acceptance.test.ts', '!**/test/pipelines/**']),
    project('serverless', [
      '<rootDir>/simulation/test/**/*.integration.test.ts',
      '<rootDir>/acceptance/test/pipelines/**/*.acceptance.test.ts',
    ]),
    project('containers', ['<rootDir>/acceptance/test/**/*.containers.test.ts']),
    project('cluster', ['<rootDir>/acceptance/test/**/*.cluster.test.ts']),
  ],
}
