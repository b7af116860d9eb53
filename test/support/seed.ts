/**
 * The seed of the random values of tests: always the same, so that a build gives the same result twice. `npm run test:fuzz`
 * draws another seed each time and prints it; TEST_SEED=<number> repeats that run.
 */
export const SEED = Number(process.env['TEST_SEED'] ?? 20_261_130);
