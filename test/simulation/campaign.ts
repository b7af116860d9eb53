import { FAMILIES } from './scenery.js';
import { play } from './seeds.js';

/**
 * Runs seeds outside the test runner: `scripts/campaign.js` bundles this file, with the stand-ins in place of what they stand in for,
 * and starts it for each thousand seeds. Its arguments are the first seed, how many there are, and their family, if they have one.
 */
const [first, count, name = ''] = process.argv.slice(2);
const family = FAMILIES.find((each) => each === name);
if (family === undefined && name !== '')
  throw new Error(`There is no family ${name}: name one of ${FAMILIES.join(', ')}.`);
const { failures, tally } = await play({ first: Number(first), count: Number(count), family });
if (failures !== '') console.log(failures);
if (!tally.isConclusive) console.log('Too few seeds end as intended: they prove little.');
process.exitCode = failures === '' && tally.isConclusive ? 0 : 1;
