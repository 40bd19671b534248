// Preloaded with `node --import`: ends the process on a signal that comes while the service is still being loaded.
// The first process of a container is not ended by a signal that it does not listen to.

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0))
