// Preloaded with `node --import`: ends the process on a signal that arrives while the service is still loading.
// Without a listener, the first process of a container ignores signals.

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0))
