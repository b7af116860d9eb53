import { batchCases } from '../../../support/offgrid/conformance/batches.js';
import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';

batchCases(startHost2);
