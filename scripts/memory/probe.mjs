// Loaded into a program by `--import` for `npm run memory`: on SIGUSR2 it collects garbage and tells its parent what
// memory is in use.

process.on("SIGUSR2", () => {
  globalThis.gc?.();
  // Finalizers run a turn later and free what the next collection then sees.
  setTimeout(() => {
    globalThis.gc?.();
    process.send?.(process.memoryUsage());
  }, 100);
});
