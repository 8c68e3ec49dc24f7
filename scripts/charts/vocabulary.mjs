// The functions that declare the values of both charts: JSON Schema with a meaning for each value.

export const text = (description, more = {}) => ({ description, type: "string", ...more });
export const flag = (description) => ({ description, type: "boolean" });
export const count = (description, minimum = 0) => ({ description, type: "integer", minimum });
export const map = (description) => ({ description, type: "object" });
export const list = (description, items = {}) => ({ description, type: "array", items });
export const words = (description) => list(description, { type: "string", minLength: 1 });
export const group = (properties, description = "") => ({
  ...(description === "" ? {} : { description }),
  type: "object",
  properties,
  additionalProperties: false,
});
export const port = (description) => ({ description, type: "integer", minimum: 1, maximum: 65_535 });
export const probe = (description) => ({
  description,
  type: "object",
  properties: Object.fromEntries(
    ["initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"].map(
      (name) => [name, { type: "integer", minimum: 0 }],
    ),
  ),
  additionalProperties: false,
});
