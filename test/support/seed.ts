/**
 * The seed of what tests draw: always the same, so that a build says the same twice. `npm run test:fuzz` draws another each time and
 * prints it; with TEST_SEED=<number> tests draw as they did then.
 */
export const SEED = Number(process.env['TEST_SEED'] ?? 20_261_130);
