import { readingCases } from '../../../support/offgrid/conformance/reading.js';
import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';

readingCases(startHost2);
