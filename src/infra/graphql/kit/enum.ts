import { registerEnumType } from 'type-graphql';

/** What an enum of the schema has: each value of the domain, with its description. */
export interface EnumDescription<V extends string> {
  readonly name: string;
  readonly description: string;
  readonly values: Readonly<Record<V, string>>;
}

/** Registers an enum of the schema for a union of texts: a value that is left out does not compile. */
export function enumOf<V extends string>({ name, description, values }: EnumDescription<V>): Readonly<Record<V, V>> {
  const texts = Object.keys(values) as V[];
  const members = Object.fromEntries(texts.map((text) => [text, text])) as Record<V, V>;
  const valuesConfig = Object.fromEntries(texts.map((text) => [text, { description: values[text] }]));
  registerEnumType(members, { name, description, valuesConfig: valuesConfig as Record<V, { description: string }> });
  return members;
}
