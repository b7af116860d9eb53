import { registerEnumType } from 'type-graphql';

/** How far a change has got. */
export enum Consistency {
  APPENDED = 'APPENDED',
  PROJECTED = 'PROJECTED',
  REPLICATED = 'REPLICATED',
}

registerEnumType(Consistency, {
  name: 'Consistency',
  description: 'How far a change has got when a mutation answers.',
  valuesConfig: {
    APPENDED: { description: 'On the disk of this log.' },
    PROJECTED: { description: 'Queries show it.' },
    REPLICATED: {
      description: 'A quorum of storage hosts has signed for it. The answer says what was reached in time.',
    },
  },
});
