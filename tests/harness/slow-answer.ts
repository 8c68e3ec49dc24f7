// An answer of a handler that comes when the test lets it, for what is to happen meanwhile.

/** One for each test: made before it. */
export class SlowAnswer {
  /** Somebody has asked for it. */
  readonly asked: Promise<void>;
  /** Lasts until `proceed`. */
  readonly held: Promise<void>;
  /** Lets it come. */
  proceed: () => void = () => {};
  #ask: () => void = () => {};

  constructor() {
    this.asked = new Promise((resolve) => {
      this.#ask = resolve;
    });
    this.held = new Promise((resolve) => {
      this.proceed = resolve;
    });
  }

  /** What the handler answers: "whole". */
  async text(): Promise<string> {
    this.#ask();
    await this.held;
    return "whole";
  }
}
