import { registerEnumType } from 'type-graphql';

/** The name, the description and the values of an enum of the schema; each value has its own description. */
export interface EnumDescription<V extends string> {
  readonly name: string;
  readonly description: string;
  readonly values: Readonly<Record<V, string>>;
}

/** Registers an enum of the schema for a union of string literals. A value that is left out does not compile. */
export function enumOf<V extends string>({ name, description, values }: EnumDescription<V>): Readonly<Record<V, V>> {
  const texts = Object.keys(values) as V[];
  const members = Object.fromEntries(texts.map((text) => [text, text])) as Record<V, V>;
  const valuesConfig = Object.fromEntries(texts.map((text) => [text, { description: values[text] }]));
  registerEnumType(members, { name, description, valuesConfig: valuesConfig as Record<V, { description: string }> });
  return members;
}
