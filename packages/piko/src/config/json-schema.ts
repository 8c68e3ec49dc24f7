// A declaration as a JSON Schema, for tools that check a configuration before the program reads it, such as Helm. It rejects
// unknown keys and values of the wrong type; limits that only a parser knows are left to the program.

import type { Field, Node, Section } from "./declaration.js";

/** The part of JSON Schema (draft 7) that is used here. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly string[];
  readonly pattern?: string;
}

// A reference to the environment (`--config.expand-env`) can have any value once it is expanded.
const FROM_ENVIRONMENT: JsonSchema = { type: "string", pattern: "\\$" };
const DURATION: JsonSchema = {
  type: "string",
  pattern: "^(0|([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$",
};
const BYTES: JsonSchema = { type: "string", pattern: "^[0-9]+ *(B|KiB|MiB|GiB)?$" };
const SWITCH: JsonSchema = { type: "string", pattern: "^([Tt]rue|[Ff]alse|[Yy]es|[Nn]o|[Oo]n|[Oo]ff)$" };
const TEXTS: ReadonlySet<string> = new Set(["string", "address", "url", "path"]);

/** The schema of a section with everything in it. */
export function jsonSchema({ description, entries }: Section): JsonSchema {
  const required = entries
    .filter(({ node }) => node.kind === "field" && node.required)
    .map(({ name }) => name);
  return {
    type: "object",
    description,
    properties: Object.fromEntries(entries.map(({ name, node }) => [name, nodeSchema(node)])),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

function nodeSchema(node: Node): JsonSchema {
  if (node.kind === "section") return jsonSchema(node);
  if (node.kind === "list") {
    return { type: "array", description: node.description, items: jsonSchema(node.item) };
  }
  const defaultText = node.defaultText === "" ? "" : ` Default: ${node.defaultText}.`;
  return { description: `${node.description}${defaultText}`, ...fieldSchema(node) };
}

function fieldSchema({ type, repeatable, text }: Field): JsonSchema {
  if (repeatable) return { type: "array", items: { type: "string" } };
  if (type === "duration") return { anyOf: [DURATION, FROM_ENVIRONMENT] };
  if (type === "bytes") return { anyOf: [{ type: "integer" }, BYTES, FROM_ENVIRONMENT] };
  if (type === "int") return { anyOf: [{ type: "integer" }, FROM_ENVIRONMENT] };
  if (type === "float") return { anyOf: [{ type: "number" }, FROM_ENVIRONMENT] };
  if (type === "bool") return { anyOf: [{ type: "boolean" }, SWITCH, FROM_ENVIRONMENT] };
  if (type.includes("|")) return { anyOf: [{ type: "string", enum: type.split("|") }, FROM_ENVIRONMENT] };
  if (TEXTS.has(type)) return { type: text ? ["string", "number", "boolean"] : "string" };
  throw new Error(`no JSON schema for settings of type ${type}`);
}
