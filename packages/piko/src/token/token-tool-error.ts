// The error of `piko key` and `piko token`: one line for a person, without secrets.

export class TokenToolError extends Error {
  readonly code = "PIKO_TOKEN_FAILED";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TokenToolError";
  }
}
