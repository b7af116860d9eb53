/** Each kind of step, and how often it is taken unless the seed has it otherwise. */
export const STEPS = {
  ...{ append: 40, crash: 3, stop: 0.7, hostDies: 5, hostIsGone: 0.15, cut: 3, full: 1, replay: 3, forward: 1 },
  ...{ copy: 1.5, putBack: 2.5, lease: 0.7, restore: 1.5, restoreWithLoss: 0.25, drill: 1, policy: 2.5 },
  ...{ beginLine: 0.25, rot: 1, scrub: 1, hurry: 1, ofFamily: 3, part: 2 },
} as const;
export type Step = keyof typeof STEPS;

/** How many times as often a kind of step is taken. */
export type More = Readonly<Partial<Record<Step, number>>>;
