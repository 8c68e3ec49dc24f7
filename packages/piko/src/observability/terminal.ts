// A terminal that a program draws on; the process knows which one.

/** A terminal that a program may draw on. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Whether the program is in the foreground: another one may have the terminal. */
  inForeground(): boolean;
  /** Calls back when the terminal has another size. */
  onResize(act: () => void): void;
  /** Calls back when the program goes on that was stopped (Ctrl-Z): the terminal was another's meanwhile. */
  onContinue(act: () => void): void;
}
