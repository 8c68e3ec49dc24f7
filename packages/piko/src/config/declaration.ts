// The building blocks of a configuration's declaration: a tree of sections, lists and fields. One tree gives the
// parser, the YAML keys, the flags, the help and the reference page; config/{server,agent,forward}.ts hold the trees.

import { z } from "zod";

/** One setting. Builders for each kind are in fields.ts. */
export interface Field<T = unknown> {
  readonly kind: "field";
  readonly schema: z.ZodType<T>;
  /** Word for the value in help and reference: `duration`, `address`, `bool`, ... */
  readonly type: string;
  readonly description: string;
  /** The default as one would write it; empty for none. */
  readonly defaultText: string;
  readonly required: boolean;
  /** The value must never be shown. */
  readonly secret: boolean;
  /** The flag may be given several times, and one value may hold several parts. */
  readonly repeatable: boolean;
  /** Makes a flag's text what YAML would have given; the schema judges it. */
  readonly fromText: (text: string) => unknown;
  /** Its flag, where that isn't its YAML path with dots and dashes. */
  readonly flag?: string;
  /** Its variable of the environment, where that isn't named by its flag. */
  readonly environment?: string;
  /** Key of a setting beside it, of which a lower level's counts no more where this one is given. */
  readonly insteadOf?: string;
  /** A bare number or word in YAML (`addr: 3000`) counts as the text that it was written as. */
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
 * Declares a section. The compiler holds `fields` to the type: a missing or surplus key does not build.
 *
 * @param check looks at settings that depend on each other; runs when each of them is right by itself.
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
  // The shape is made at run time; that it yields a T is what the type of `fields` says.
  return { kind: "section", schema: object.prefault({}) as unknown as z.ZodType<T>, description, entries };
}

/** Declares a list of sections; empty by default. */
export function list<T>(description: string, item: Section<T>): List<readonly T[]> {
  return { kind: "list", schema: z.array(item.schema).default([]), description, item };
}

/** A section whose checked settings become something else, such as text that is taken apart. */
export function mapSection<In, Out>(declared: Section<In>, map: (value: In) => Out): Section<Out> {
  return { ...declared, schema: declared.schema.transform(map) as unknown as z.ZodType<Out> };
}

/** `readTimeoutMs` -> `read_timeout`: the unit belongs to the program, not to the file, where values carry their own. */
function yamlName(key: string): string {
  return key.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
