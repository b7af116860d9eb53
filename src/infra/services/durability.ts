/** How far a change has got: it is on the disk of this log; queries show it; a quorum of storage hosts has signed for it. */
export const DURABILITIES = ['APPENDED', 'PROJECTED', 'REPLICATED'] as const;
export type Durability = (typeof DURABILITIES)[number];
