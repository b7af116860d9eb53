import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';
import { finePointCases } from '../../../support/offgrid/conformance/fine-points.js';

finePointCases(startHost2);
