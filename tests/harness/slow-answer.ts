// A handler's answer that is held back until the test releases it.

/** Create one for each test, before the request. */
export class SlowAnswer {
  /** Resolves when a request has reached the handler. */
  readonly asked: Promise<void>;
  /** Pending until `proceed` is called. */
  readonly held: Promise<void>;
  /** Releases the answer. */
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
