// Loaded into a program by `--import` for `npm run memory`: on SIGUSR2 it collects garbage and sends its memory usage to its parent.

process.on("SIGUSR2", () => {
  globalThis.gc?.();
  // Finalizers run a turn later, and what they release is freed by the next collection.
  setTimeout(() => {
    globalThis.gc?.();
    process.send?.(process.memoryUsage());
  }, 100);
});
