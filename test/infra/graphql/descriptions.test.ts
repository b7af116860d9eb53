import {
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  type GraphQLNamedType,
  type GraphQLSchema,
} from 'graphql';
import { expect, it } from 'vitest';
import { makeSchema } from '../../../src/infra/graphql/schema.js';

type Described = readonly [coordinate: string, description: string | null | undefined];

/** The coordinates of a type: itself, its fields with their arguments, its input fields, its values. */
function describedIn(type: GraphQLNamedType): Described[] {
  const own: Described = [type.name, type.description];
  if (isObjectType(type) || isInterfaceType(type)) {
    const fields = Object.values(type.getFields()).flatMap(({ name, description, args }): Described[] => [
      [`${type.name}.${name}`, description],
      ...args.map((arg): Described => [`${type.name}.${name}(${arg.name}:)`, arg.description]),
    ]);
    return [own, ...fields];
  }
  const members = isInputObjectType(type) ? Object.values(type.getFields()) : isEnumType(type) ? type.getValues() : [];
  return [own, ...members.map(({ name, description }): Described => [`${type.name}.${name}`, description])];
}

function describedBy(schema: GraphQLSchema): Described[] {
  return Object.values(schema.getTypeMap())
    .filter((type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type))
    .flatMap(describedIn);
}

it('every type, field, argument and value of the schema has a description that ends with a full stop', () => {
  const described = describedBy(makeSchema());
  expect(described.length).toBeGreaterThan(500);
  const lacking = described.filter(([, description]) => !/\S\.$/.test(description ?? ''));
  expect(lacking.map(([coordinate]) => coordinate)).toEqual([]);
});
