// The building blocks of a configuration's declaration: a tree of sections, lists and fields. The parser, the YAML keys, the
// flags, the help and the reference page are all derived from one tree; config/{server,agent,forward}.ts contain the trees.

import { z } from "zod";

/** One setting. Builders for each kind are in fields.ts. */
export interface Field<T = unknown> {
  readonly kind: "field";
  readonly schema: z.ZodType<T>;
  /** The kind of value in the help and the reference: `duration`, `address`, `bool`, ... */
  readonly type: string;
  readonly description: string;
  /** The default as it is written in YAML; empty if there is none. */
  readonly defaultText: string;
  readonly required: boolean;
  /** The value must never be shown. */
  readonly secret: boolean;
  /** The flag may be given several times, and each value may consist of several parts. */
  readonly repeatable: boolean;
  /** Converts a flag's text to the value that YAML would give; the schema then checks it. */
  readonly fromText: (text: string) => unknown;
  /** Its flag, if that isn't its YAML path with dots and dashes. */
  readonly flag?: string;
  /** Its environment variable, if that isn't named after its flag. */
  readonly environment?: string;
  /** Key of a setting next to it that this one replaces, if that one comes from a lower level. */
  readonly insteadOf?: string;
  /** A bare number or word in YAML (`addr: 3000`) is taken as the text that was written. */
  readonly text: boolean;
}

/** A named key of a section. */
export interface Entry {
  /** Key of the configuration object: `readTimeoutMs`. */
  readonly key: string;
  /** Key in YAML: `read_timeout`. */
  readonly name: string;
  readonly node: Node;
}

/** A group of settings. */
export interface Section<T = unknown> {
  readonly kind: "section";
  readonly schema: z.ZodType<T>;
  readonly description: string;
  readonly entries: readonly Entry[];
}

/** A list of sections; only files can hold one. */
export interface List<T = unknown> {
  readonly kind: "list";
  readonly schema: z.ZodType<T>;
  readonly description: string;
  readonly item: Section;
}

/** Any part of a declaration. */
export type Node<T = unknown> = Field<T> | Section<T> | List<T>;

/** Reports a problem with the setting at `path`, relative to the section whose check runs. */
export type Report = (path: readonly (string | number)[], message: string) => void;

/**
 * Declares a section. `fields` is typed so that a missing or surplus key doesn't compile.
 *
 * @param check checks settings that depend on each other; runs once each of them is valid by itself.
 */
export function section<T extends object>(
  description: string,
  fields: { readonly [K in keyof T]: Node<T[K]> },
  check?: (value: T, report: Report) => void,
): Section<T> {
  const entries = Object.entries<Node>(fields).map(([key, node]) => ({ key, name: yamlName(key), node }));
  const shape = Object.fromEntries(entries.map(({ key, node }) => [key, node.schema]));
  const object = z.strictObject(shape).superRefine((value, context) => {
    check?.(value as T, (path, message) => context.addIssue({ code: "custom", path: [...path], message }));
  });
  // The shape is built at run time; the type of `fields` ensures that it yields a T.
  return { kind: "section", schema: object.prefault({}) as unknown as z.ZodType<T>, description, entries };
}

/** Declares a list of sections; empty by default. */
export function list<T>(description: string, item: Section<T>): List<readonly T[]> {
  return { kind: "list", schema: z.array(item.schema).default([]), description, item };
}

/** A section whose checked settings are converted, such as text that is parsed. */
export function mapSection<In, Out>(declared: Section<In>, map: (value: In) => Out): Section<Out> {
  return { ...declared, schema: declared.schema.transform(map) as unknown as z.ZodType<Out> };
}

/** `readTimeoutMs` -> `read_timeout`: the unit is for the program; in files, values have their own units. */
function yamlName(key: string): string {
  return key.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
