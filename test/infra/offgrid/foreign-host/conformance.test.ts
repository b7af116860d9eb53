import { batchCases } from '../../../support/offgrid/conformance/batches.js';
import { claimCases } from '../../../support/offgrid/conformance/claims.js';
import { startForeignHost } from '../../../support/offgrid/conformance/conforming-host.js';
import { finePointCases } from '../../../support/offgrid/conformance/fine-points.js';
import { limitCases } from '../../../support/offgrid/conformance/limits.js';
import { readingCases } from '../../../support/offgrid/conformance/reading.js';
import { requestCases } from '../../../support/offgrid/conformance/requests.js';

claimCases(startForeignHost);
batchCases(startForeignHost);
readingCases(startForeignHost);
requestCases(startForeignHost);
limitCases(startForeignHost);
finePointCases(startForeignHost);
