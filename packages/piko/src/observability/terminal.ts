// The terminal that a program draws on. The command line provides it.

/** A terminal that a program may draw on. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Whether the program is in the foreground; otherwise another one may be using the terminal. */
  inForeground(): boolean;
  /** Calls `act` whenever the size of the terminal changes. */
  onResize(act: () => void): void;
  /**
   * Calls `act` when the program continues after it was stopped (Ctrl-Z). Another program may have used the terminal meanwhile.
   */
  onContinue(act: () => void): void;
}
