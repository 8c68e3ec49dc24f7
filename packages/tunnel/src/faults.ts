// Internal errors while handling the bytes of one connection: that connection ends, and all others continue. The error is
// reported to the program.

/** Where internal errors are reported; one per process. */
export class Faults {
  /**
   * Called once for each error, with what was thrown. By default it ends the process, as an uncaught error does: a program that
   * embeds a tunnel may have thrown it itself.
   */
  report: (error: unknown) => void = (error) =>
    queueMicrotask(() => {
      throw error;
    });
}

export const faults: Faults = new Faults();
